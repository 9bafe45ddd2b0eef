"""pyinit as entrypoint where there is no peer to compare with, lean and with a control socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.inits import (
    AS_NOBODY,
    LIMIT_S,
    PYINIT,
    TREE,
    Running,
    children,
    environment,
    exit_code,
    handing_in,
    isolated,
    listening,
    print_signals,
    readable,
    until,
)
from tests.support.varlink_call import call, run_output

pytestmark = pytest.mark.root


@pytest.fixture(params=["lean", "full"])
def pyinit(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    if request.param == "lean":
        return PYINIT
    return (*PYINIT, "--control", str(tmp_path / "c.sock"))


def test_no_status_is_lost_while_the_rest_loads(tmp_path: Path) -> None:
    init = (*PYINIT, "--control", str(tmp_path / "c.sock"))
    for _ in range(3):
        assert exit_code(init, "sh", "-c", "exit 7") == 7


def test_signals_while_the_rest_loads_go_on_to_the_command(tmp_path: Path) -> None:
    init = (*PYINIT, "--control", str(tmp_path / "c.sock"))
    with Running(isolated(*init, *print_signals())) as running:
        running.line()
        for number in range(40, 60):  # by the end of them trio may be there or not
            running.send(number)
            assert running.line() == str(number)
        running.finish()
        assert running.wait() == 0


def test_the_control_socket_answers(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with Running(
        isolated(*PYINIT, "--control", str(path), "--name", "box", *print_signals())
    ) as running:
        running.line()
        description = call(path, "Describe")["container"]
        assert description["name"] == "box"
        assert description["main_pid"] == 2
        assert description["pid"] == 1
        assert run_output(path, "sh", "-c", "echo $PPID") == "1\n"
        call(path, "Kill", signal="USR1")
        assert running.line() == str(int(signal.SIGUSR1))
        call(path, "Shutdown", timeout=5)
        assert running.line() == str(int(signal.SIGTERM))


def test_without_a_command_it_idles_until_it_is_told_to_end(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with Running(isolated(*PYINIT, "--control", str(path))) as running:
        until(path.exists)
        assert run_output(path, "echo", "hi") == "hi\n"
        running.send(signal.SIGTERM)
        assert running.wait() == 0


def test_what_is_left_gets_term_and_then_kill(pyinit: tuple[str, ...]) -> None:
    """Also what made a session of its own; the grace is a ceiling and no sleep."""
    stubborn = "(trap '' TERM; echo deaf; exec sleep 1000) & read x < /proc/self/stat"
    leaver = "setsid sh -c 'trap \"echo told; exit\" TERM; echo set; while :; do sleep 0.1; done' &"
    with Running(
        isolated(*pyinit, "--grace", "0.5", "sh", "-c", f"{leaver}\n{stubborn}\nread x; exit 3")
    ) as running:
        assert {running.line(), running.line()} == {"deaf", "set"}
        running.finish()
        assert running.line() == "told"
        assert running.wait() == 3


def test_a_second_request_takes_the_grace_away(pyinit: tuple[str, ...]) -> None:
    deaf = "(trap '' TERM; echo deaf; exec sleep 1000) & read x; exit 3"
    with Running(isolated(*pyinit, "--grace", "1000", "sh", "-c", deaf)) as running:
        assert running.line() == "deaf"
        main = children(running.init)[0]
        os.kill(main, signal.SIGKILL)
        until(lambda: main not in children(running.init))
        running.send(signal.SIGTERM)
        assert running.wait() == 137


def test_orphans_are_reaped(pyinit: tuple[str, ...]) -> None:
    script = "for i in 1 2 3 4 5; do (setsid true &) ; done; echo made; read x"
    with Running(isolated(*pyinit, "-w", "sh", "-c", script)) as running:
        assert running.line() == "made"
        until(lambda: len(children(running.init)) == 1)
        running.finish()
        assert running.wait() == 1  # read met the end of its input
        assert running.errors().count("orphan reaped") == 5


def test_a_command_starts_as_after_a_login(pyinit: tuple[str, ...]) -> None:
    """No signal blocked or ignored, no descriptor of init's, a session of its own."""
    script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd; echo end"
    with Running(isolated(*pyinit, "sh", "-c", script)) as running:
        lines = []
        while (line := running.line()) != "end":
            lines.append(line)
        assert [line.split()[1] for line in lines[:2]] == ["0" * 16] * 2
        assert lines[2:] == ["0", "1", "2", "3"]  # 3 is the folder that ls reads


def test_away_from_pid_1_orphans_come_to_it_all_the_same(pyinit: tuple[str, ...]) -> None:
    """And end with it. `sleep` is told by its name among the init's children."""
    script = "(setsid sleep 1000 &); echo made; read x; exit 5"
    wrapper = ["unshare", "-pf", "--mount-proc", "--kill-child"]
    shell = 'exec 9<&0; "$@" <&9 & wait $!; code=$?; echo left $(pgrep -c sleep); exit $code'
    with Running([*wrapper, "sh", "-c", shell, "sh", *pyinit, "sh", "-c", script]) as running:
        assert running.line() == "made"
        running.finish()
        assert running.line() == "left 0"
        assert running.wait() == 5


@pytest.mark.parametrize(
    "prepare",
    [
        "umount /proc",
        "mount -t tmpfs -o ro none /proc",
        "mount --bind / / && mount -o remount,ro,bind /",
        "mount -t tmpfs -o ro none /etc && mount --bind / / && mount -o remount,ro,bind /",
        "mount -t tmpfs -o noexec,nosuid,nodev none /run",
    ],
    ids=["no-proc", "empty-proc", "read-only-root", "and-no-ld.so.cache", "noexec-run"],
)
def test_in_poor_surroundings(prepare: str, pyinit: tuple[str, ...], tmp_path: Path) -> None:
    keep = f"mount --bind {tmp_path} {tmp_path}"
    assert exit_code(pyinit, "sh", "-c", "exit 6", prepare=f"{keep}\n{prepare}") == 6


def test_as_an_ordinary_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    scratch = tmp_path_factory.mktemp("user")
    for folder in (scratch, *list(scratch.parents)[:2]):
        folder.chmod(0o755)
    control = scratch / "control"
    control.mkdir()
    os.chown(control, 65534, 65534)
    prepare = readable(scratch)
    lean = (*AS_NOBODY, *PYINIT)
    assert exit_code(lean, "sh", "-c", "exit $(id -u | cut -c1-2)", prepare=prepare) == 65
    path = control / "c.sock"
    with Running(
        isolated(*lean, "--control", str(path), *print_signals(), prepare=prepare)
    ) as running:
        assert running.line().startswith("ready")
        assert run_output(path, "id", "-u") == "65534\n"


def test_the_folder_of_the_socket_is_out_of_sight(tmp_path: Path) -> None:
    host, inside = tmp_path / "host", tmp_path / "inside"
    host.mkdir()
    inside.mkdir()
    prepare = f"mount --bind {host} {inside}"
    command = ("sh", "-c", f"ls {inside}; echo end; read x")
    init = (*PYINIT, "--control", f"{inside}/c.sock")
    with Running(isolated(*init, *command, prepare=prepare)) as running:
        assert running.line() == "end"
        assert run_output(host / "c.sock", "ls", str(inside)) == ""
    with Running(isolated(*init, "--keep-control-folder", *command, prepare=prepare)) as running:
        assert [running.line(), running.line()] == ["c.sock", "end"]


def test_a_socket_opened_outside_is_served(tmp_path: Path) -> None:
    path = tmp_path / "handed.sock"
    script = "env | grep -c LISTEN; ls /proc/self/fd | tr '\\n' ' '; echo; read x"
    with listening(path) as listener:
        number = listener.fileno()
        command = isolated(*handing_in(number), *PYINIT, "sh", "-c", script)
        with Running(command, pass_fds=[number]) as running:
            assert running.line() == "0"
            assert running.line() == "0 1 2 3 "
            assert run_output(path, "echo", "here") == "here\n"


def test_the_commands_own_sockets_go_on_to_it(tmp_path: Path) -> None:
    script = (
        'echo $LISTEN_FDS $LISTEN_FDNAMES; [ "$LISTEN_PID" = $$ ] && echo mine;'
        "readlink /proc/self/fd/3 | cut -c1-7; ls /proc/self/fd | tr '\\n' ' '; echo; read x"
    )
    with listening(tmp_path / "http") as http, listening(tmp_path / "control") as control:
        numbers = [http.fileno(), control.fileno()]
        command = isolated(*handing_in(*numbers), *PYINIT, "sh", "-c", script)
        names = environment(LISTEN_FDNAMES="http:control")
        with Running(command, pass_fds=numbers, env=names) as running:
            lines = [running.line() for _ in range(4)]
            assert lines == ["1 http", "mine", "socket:", "0 1 2 3 4 "]
            assert run_output(tmp_path / "control", "echo", "here") == "here\n"


def test_sockets_meant_for_another_process_are_left_alone(pyinit: tuple[str, ...]) -> None:
    prepare = "export LISTEN_PID=4711 LISTEN_FDS=1"
    assert exit_code(pyinit, "sh", "-c", 'exit "${LISTEN_FDS-3}"', prepare=prepare) == 3


def test_the_host_is_told(tmp_path: Path, pyinit: tuple[str, ...]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as host:
        host.bind(str(tmp_path / "notify"))
        host.settimeout(LIMIT_S)
        script = 'echo "${NOTIFY_SOCKET-unset}"; read x; exit 3'
        told = environment(NOTIFY_SOCKET=str(tmp_path / "notify"))
        with Running(isolated(*pyinit, "sh", "-c", script), env=told) as running:
            assert running.line() == "unset"
            assert host.recv(4096) == b"READY=1"
            running.finish()
            assert running.wait() == 3
            assert host.recv(4096) == b"STOPPING=1\nEXIT_STATUS=3"


def test_a_command_that_cannot_run_is_never_ready(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as host:
        host.bind(str(tmp_path / "notify"))
        host.settimeout(LIMIT_S)
        prepare = f"export NOTIFY_SOCKET={tmp_path}/notify"
        assert exit_code(PYINIT, "nosuch", prepare=prepare) == 127
        assert host.recv(4096) == b"STOPPING=1\nEXIT_STATUS=127"


def test_the_log_is_json_where_nobody_watches(pyinit: tuple[str, ...]) -> None:
    with Running(
        isolated(*pyinit, "-w", "sh", "-c", "(setsid true &); echo made; read x")
    ) as running:
        assert running.line() == "made"
        until(lambda: len(children(running.init)) == 1)
        running.finish()
        running.wait()
        lines = [json.loads(line) for line in running.errors().splitlines()]
        assert [line["event"] for line in lines] == ["orphan reaped"]
        assert set(lines[0]) >= {"event", "level", "timestamp", "pid"}


@pytest.mark.parametrize("option", ["--help", "--version", "-l"])
def test_what_is_shown_goes_to_standard_output(option: str) -> None:
    done = subprocess.run([*PYINIT, option], capture_output=True, text=True, env=environment())
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith(("Usage: pyinit", "pyinit 0", "MIT License"))


def test_a_file_of_services_is_checked(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[services.web]\ncommand = "true"\n')
    bad.write_text("[services.web]\ncommand = 3\nnope = 1\n")
    for path, code, text in ((good, 0, "web"), (bad, 1, f"{bad}:2:")):
        done = subprocess.run(
            [*PYINIT, "--check", path], capture_output=True, text=True, env=environment()
        )
        assert done.returncode == code
        assert text in done.stdout + done.stderr


def test_the_license_is_the_projects() -> None:
    from pyinit.init.entrypoint.answers import LICENSE

    assert (TREE / "LICENSE").read_text() == LICENSE
