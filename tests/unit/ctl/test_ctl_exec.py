"""`pyinit-ctl exec` as a process, against a server that really starts commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyinit.varlink.envelope import Call
from tests.support.ctl import START, ctl, environment, start
from tests.support.toy_server import Conversation, ToyServer, hang_up

pytestmark = pytest.mark.usefixtures("server")


def test_streams_and_status(run_dir: Path) -> None:
    done = ctl(run_dir, "exec", "web", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["web", "sh", "-c", "kill -KILL $$"], 137, ""),
        (["web", "no-such-command"], 127, "no-such-command: not found"),
        (["web", "/etc/passwd"], 126, "/etc/passwd: Permission denied"),
        (["wbe", "true"], 125, "no container named 'wbe'"),
        (["./nowhere/control.sock", "true"], 125, "no control socket at ./nowhere"),
        (["--timeout", "0.1", "web", "sleep", "60"], 124, ""),
        (["--timeout", "soon", "web", "true"], 125, "--timeout 'soon' is no time"),
        (["web"], 125, "exec needs a command"),
        ([], 125, "exec needs a target"),
        (["--nope", "web", "true"], 125, "no such option: --nope"),
    ],
)
def test_exit_status(run_dir: Path, words: list[str], status: int, message: str) -> None:
    done = ctl(run_dir, "exec", *words)
    assert done.returncode == status
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == bool(message)


def test_words_behind_the_target_belong_to_the_command(run_dir: Path) -> None:
    done = ctl(run_dir, "exec", "web", "--", "echo", "-t", "--", "--help")
    assert done.stdout == b"-t -- --help\n"


def test_a_path_is_a_target(run_dir: Path, server: ToyServer) -> None:
    assert ctl(run_dir, "exec", str(server.path), "echo", "x").stdout == b"x\n"


def test_a_path_longer_than_a_socket_address(run_dir: Path, tmp_path: Path) -> None:
    with ToyServer(tmp_path / ("deep" * 30)) as toy:
        assert ctl(run_dir, "exec", str(toy.path), "echo", "x").stdout == b"x\n"


def test_stdin_is_null_unless_asked_for(run_dir: Path) -> None:
    assert ctl(run_dir, "exec", "web", "cat", input=b"text").stdout == b""
    assert ctl(run_dir, "exec", "-i", "web", "cat", input=b"text").stdout == b"text"


def test_pipes_are_passed_and_files_are_not(
    run_dir: Path, server: ToyServer, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(b"text")
    with open(tmp_path / "in", "rb") as source, open(tmp_path / "out", "wb") as taker:
        done = ctl(
            run_dir,
            "exec",
            "-i",
            "web",
            "sh",
            "-c",
            "readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 >&2; cat",
            stdin=source,
            stdout=taker,
        )
    assert all(line.startswith(b"pipe:") for line in done.stderr.splitlines())
    assert done.stderr.count(b"\n") == 3
    assert (tmp_path / "out").read_bytes() == b"text"


def test_a_large_file_in_and_out(run_dir: Path, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "in").write_bytes(content)
    with open(tmp_path / "in", "rb") as source, open(tmp_path / "out", "wb") as taker:
        assert not ctl(run_dir, "exec", "-i", "web", "cat", stdin=source, stdout=taker).returncode
    assert (tmp_path / "out").read_bytes() == content


def test_a_file_opened_for_appending(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"first\n")
    with open(tmp_path / "out", "ab") as taker:
        ctl(run_dir, "exec", "web", "echo", "second", stdout=taker)
    assert (tmp_path / "out").read_bytes() == b"first\nsecond\n"


def test_stdout_and_stderr_in_one_file_keep_their_order(run_dir: Path, tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as taker:
        script = "for i in 1 2 3; do echo out$i; echo err$i >&2; done"
        ctl(run_dir, "exec", "web", "sh", "-c", script, stdout=taker, stderr=taker)
    expected = "".join(f"out{i}\nerr{i}\n" for i in (1, 2, 3))
    assert (tmp_path / "out").read_text() == expected


def test_output_of_a_command_that_ends_at_once_is_complete(run_dir: Path, tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as taker:
        ctl(run_dir, "exec", "web", "head", "-c", "5000000", "/dev/zero", stdout=taker)
    assert (tmp_path / "out").stat().st_size == 5_000_000


def test_a_grandchild_that_holds_the_output_is_not_waited_for(
    run_dir: Path, tmp_path: Path
) -> None:
    with open(tmp_path / "out", "wb") as taker, open(tmp_path / "err", "wb") as notes:
        done = ctl(
            run_dir, "exec", "web", "sh", "-c", "sleep 60 & echo x; exit 3",
            stdout=taker, stderr=notes,
        )  # fmt: skip
    assert done.returncode == 3
    assert (tmp_path / "out").read_bytes() == b"x\n"
    assert "a process it left behind holds its output" in (tmp_path / "err").read_text()


def test_a_disk_that_is_full_is_no_success(run_dir: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = ctl(run_dir, "exec", "web", "sh", "-c", "echo x; exit 0", stdout=full)
    assert done.returncode == 125
    assert b"No space left" in done.stderr


def test_a_reader_that_goes_away_ends_the_command(run_dir: Path) -> None:
    running = start(run_dir, "exec", "web", "yes", stdout=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.read(2) == b"y\n"
    running.stdout.close()
    assert running.wait(30) == 128 + signal.SIGPIPE


def test_the_reader_sees_the_end_when_the_command_closes_its_output(run_dir: Path) -> None:
    running = start(
        run_dir, "exec", "-i", "web", "sh", "-c", "exec >&-; read x",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stdout.read() == b""
    assert running.poll() is None
    running.stdin.write(b"\n")
    running.stdin.close()
    assert running.wait(30) == 0


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH"])
def test_signals_are_passed_on(run_dir: Path, server: ToyServer, name: str) -> None:
    script = f"trap 'exit 9' {name}; echo ready; while :; do sleep 0.01; done"
    running = start(run_dir, "exec", "web", "sh", "-c", script, stdout=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    running.send_signal(signal.Signals["SIG" + name])
    assert running.wait(30) == 9
    running.stdout.close()
    assert server.signalled == [("e1", name)]


def test_the_command_ends_with_its_client(run_dir: Path, server: ToyServer) -> None:
    running = start(
        run_dir, "exec", "web", "sh", "-c", "echo ready; sleep 60", stdout=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    running.kill()
    running.wait()
    assert running.stdout.read() == b""  # held by the command alone
    running.stdout.close()


def test_a_lost_connection_is_125(run_dir: Path, server: ToyServer) -> None:
    def lose(conversation: Conversation, call: Call) -> None:
        conversation.reply({"event": "started", "id": "e1", "pid": 1}, continues=True)
        hang_up(conversation)

    server.handlers["Exec"] = lose
    done = ctl(run_dir, "exec", "web", "true")
    assert done.returncode == 125
    assert b"connection ended before" in done.stderr


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"event": "exited"},
        {"event": "exited", "status": {"code": "0"}},
        {"event": "exited", "status": {"code": 0, "signal": 9}},
        {"event": "exited", "status": {"code": 256}},
        {"event": "exited", "status": {"code": True}},
        {"event": "started"},
    ],
)
def test_an_answer_that_makes_no_sense_is_125(
    run_dir: Path, server: ToyServer, answer: dict[str, object]
) -> None:
    def lie(conversation: Conversation, call: Call) -> None:
        conversation.reply({"event": "started", "id": "e1", "pid": 1}, continues=True)
        conversation.reply(answer)

    server.handlers["Exec"] = lie
    assert ctl(run_dir, "exec", "web", "true").returncode == 125


def test_replies_that_come_together_are_both_seen(
    run_dir: Path, server: ToyServer, tmp_path: Path
) -> None:
    def at_once(conversation: Conversation, call: Call) -> None:
        started = {"event": "started", "id": "e1", "pid": 1}
        exited = {"event": "exited", "id": "e1", "pid": 1, "status": {"code": 4}}
        data = conversation.server.reply(started, continues=True)
        conversation.send(data + conversation.server.reply(exited))

    server.handlers["Exec"] = at_once
    with open(tmp_path / "out", "wb") as taker:
        assert ctl(run_dir, "exec", "web", "true", stdout=taker).returncode == 4


def test_text_from_the_container_is_made_harmless(run_dir: Path, server: ToyServer) -> None:
    def insult(conversation: Conversation, call: Call) -> None:
        conversation.error("CommandNotFound", {"command": "\x1b]0;owned\x07\n\u202e" + "x" * 5000})

    server.handlers["Exec"] = insult
    done = ctl(run_dir, "exec", "web", "true")
    assert done.returncode == 127
    assert b"\x1b" not in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert len(done.stderr) < 2000


def test_detached_prints_the_id(run_dir: Path, server: ToyServer) -> None:
    done = ctl(run_dir, "exec", "-d", "web", "sleep", "0.01")
    assert (done.returncode, done.stdout) == (0, b"e1\n")
    assert server.execs["e1"].detached


def test_options_reach_the_init(run_dir: Path, server: ToyServer, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# comment\nA=1\n\nB=two words\nFROM_HERE\n")
    ctl(
        run_dir,
        *("exec", "-u", "www:www", "-w/srv", "-e", "C=3", "--env-file", str(tmp_path / "env")),
        *("--cap-add", "NET_ADMIN", "--cap-drop=ALL", "--no-new-privs", "--ulimit", "nofile=5:9"),
        *("--ulimit", "core=unlimited", "--umask", "027", "--timeout", "9", "--grace=0.5"),
        *("-d", "web", "true"),
        env={"FROM_HERE": "here"},
    )
    assert server.calls[0].parameters["command"] == {
        "argv": ["true"],
        "user": "www:www",
        "workdir": "/srv",
        "environment": {"A": "1", "B": "two words", "FROM_HERE": "here", "C": "3"},
        "cap_add": ["NET_ADMIN"],
        "cap_drop": ["ALL"],
        "no_new_privs": True,
        "rlimits": {"nofile": {"soft": 5, "hard": 9}, "core": {"soft": None, "hard": None}},
        "umask": 0o027,
        "timeout": 9.0,
        "grace": 0.5,
    }


def test_closed_standard_descriptors(run_dir: Path) -> None:
    """The socket must not take the place of stdout."""
    command = f'{sys.executable} -c "$START" exec web sh -c "echo x; exit 5" <&- >&- 2>&-'
    env = {**environment(run_dir), "START": START}
    assert subprocess.run(["sh", "-c", command], env=env, timeout=30).returncode == 5


# What the interpreter itself starts with, and C builtins: no cost, or next to none.
ALLOWED = {
    "__future__",
    "_json",
    "_socket",
    "_stat",
    "pyinit",
    "pyinit.errors",
    "pyinit.varlink",
    "pyinit.varlink.connection",
    "pyinit.varlink.depth",
    "pyinit.varlink.envelope",
    "pyinit.varlink.framing",
    "pyinit.varlink.lean_json",
    "pyinit.varlink.scm",
    "pyinit_ctl",
    "pyinit_ctl.__main__",
    "pyinit_ctl.code_cache",
    "pyinit_ctl.exec_fast",
    "pyinit_ctl.exec_local",
    "pyinit_ctl.exec_options",
    "pyinit_ctl.flags",
    "pyinit_ctl.forward",
    "pyinit_ctl.registry",
    "pyinit_ctl.replies",
    "pyinit_ctl.stdio",
    "pyinit_ctl.wire",
}
OS = {"os", "os.path", "stat", "_stat", "_collections_abc", "genericpath", "posixpath"}
ONLY_WITH_RELAY = OS | {"errno", "select", "pyinit_ctl.relay"}
ONLY_WITH_TERMINAL = ONLY_WITH_RELAY | {
    "termios",
    "pyinit_ctl.exec_terminal",
    "pyinit_ctl.terminal",
}
LIST_MODULES = (
    "import sys; before = set(sys.modules); sys.path += sys.argv.pop(1).split(':');"
    "import pyinit_ctl.__main__;"
    "from pyinit_ctl.exec_fast import main; code = main(sys.argv[2:]);"
    "print(*sorted(set(sys.modules) - before), file=sys.stderr)"
)


@pytest.mark.parametrize(
    ("option", "allowed"), [("-i", ALLOWED), ("-it", ALLOWED | ONLY_WITH_TERMINAL)]
)
def test_each_import_of_an_exec_is_accounted_for(
    run_dir: Path, option: str, allowed: set[str]
) -> None:
    path = environment(run_dir)["PYTHONPATH"]
    done = subprocess.run(
        # Without site, as scripts/pyinit-ctl starts it: not even os is there.
        [sys.executable, "-I", "-S", "-c", LIST_MODULES, path, "exec", option, "web", "true"],
        env=environment(run_dir),
        stdin=subprocess.PIPE,
        capture_output=True,
        timeout=30,
    )
    loaded = set(done.stderr.decode().split())
    assert "pyinit_ctl.exec_fast" in loaded
    assert loaded <= allowed
