"""The verbs as processes, against a server with fixed answers and folders made by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyinit.varlink.envelope import Call
from pyinit_ctl import records
from pyinit_ctl.cli import QUICK, VERBS
from tests.support.ctl import ctl, environment, start
from tests.support.toy_server import (
    Conversation,
    ToyServer,
    answering,
    container_info,
    process_info,
    usage,
)


def write_state(folder: Path, pid: int, **more: Any) -> None:
    """state.json of a container whose init is the process `pid`."""
    folder.mkdir(exist_ok=True)
    state = {
        "name": folder.name,
        "pid": pid,
        "start_time": records.start_time(pid),
        "created": 1_700_000_000.0,
        "control": str(folder / "control.sock"),
        "hostname": folder.name,
        "command": ["sleep", "inf"],
        **more,
    }
    (folder / "state.json").write_text(json.dumps(state))


def write_exit(folder: Path, **fields: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "exit.json").write_text(json.dumps(fields))


@pytest.fixture
def ended(run_dir: Path) -> Path:
    """A container that ended with 3."""
    folder = run_dir / "old"
    write_state(folder, 2**22 + 1)
    write_exit(folder, code=3, signal=None, exit_code=3, reason="main command ended", ended=1.5)
    return folder


@pytest.fixture
def init_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process to stand for an init."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def as_json(done: subprocess.CompletedProcess[bytes]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_ls_of_nothing(run_dir: Path) -> None:
    assert as_json(ctl(run_dir, "ls", "--json")) == []
    assert ctl(run_dir, "ls").stdout.split() == b"NAME STATE PID CREATED COMMAND".split()


def test_ls(
    run_dir: Path, server: ToyServer, ended: Path, init_process: subprocess.Popen[bytes]
) -> None:
    write_state(server.folder, init_process.pid)
    server.handlers["Describe"] = answering(container_info(state="paused"))
    (run_dir / "locks").mkdir()
    old, web = as_json(ctl(run_dir, "ls", "--json"))
    assert (web["name"], web["state"], web["pid"], web["exit"]) == (
        "web", "paused", init_process.pid, None,
    )  # fmt: skip
    assert (old["name"], old["state"], old["pid"]) == ("old", "exited (3)", None)
    assert old["exit"] == {
        "code": 3, "signal": None, "reason": "main command ended", "ended": 1.5,
    }  # fmt: skip
    table = ctl(run_dir, "ls").stdout.decode().splitlines()
    assert table[1].split()[:3] == ["old", "exited", "(3)"]
    assert ctl(run_dir, "ls", "-q").stdout == b"old\nweb\n"
    assert ctl(run_dir, "ls", "-q", "--running").stdout == b"web\n"


def test_an_init_that_was_killed_is_137(run_dir: Path) -> None:
    write_state(run_dir / "dead", 2**22 + 1)
    (run_dir / "dead" / "exit.json").touch()
    assert ctl(run_dir, "wait", "dead").stdout == b"137\n"


def test_another_process_of_the_same_number_is_not_the_init(run_dir: Path) -> None:
    write_state(run_dir / "dead", os.getpid(), start_time=1)
    assert ctl(run_dir, "wait", "dead").stdout == b"137\n"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"pid": "x"}', b"[" * 9999])
def test_broken_records_break_nothing(run_dir: Path, content: bytes) -> None:
    (run_dir / "odd").mkdir()
    (run_dir / "odd" / "state.json").write_bytes(content)
    (run_dir / "odd" / "exit.json").write_bytes(content)
    assert len(as_json(ctl(run_dir, "ls", "--json"))) == 1


def test_wait_for_a_container(run_dir: Path, init_process: subprocess.Popen[bytes]) -> None:
    folder = run_dir / "web"
    write_state(folder, init_process.pid)
    waiting = start(run_dir, "wait", "--json", "web", stdout=subprocess.PIPE)
    write_exit(folder, code=None, signal=15, exit_code=143, reason="", ended=2.0)
    init_process.kill()
    out, _ = waiting.communicate(timeout=30)
    assert json.loads(out)["code"] == 143


def test_wait_for_an_exec(run_dir: Path, server: ToyServer) -> None:
    ctl(run_dir, "exec", "-d", "web", "sh", "-c", "exit 5")
    assert ctl(run_dir, "wait", "web", "e1").stdout == b"5\n"
    missing = ctl(run_dir, "wait", "web", "e9")
    assert (missing.returncode, missing.stderr) == (
        125, b"pyinit-ctl: no exec 'e9' in the container\n",
    )  # fmt: skip


def test_the_dead_are_named_with_their_status(run_dir: Path, ended: Path) -> None:
    for words in (["ps", "old"], ["exec", "old", "true"], ["stop", "old"], ["kill", "old"]):
        done = ctl(run_dir, *words)
        assert done.returncode == 125
        assert b"container 'old' has ended with exit status 3" in done.stderr
        assert done.stderr.count(b"\n") == 1


def test_a_socket_nobody_listens_on(run_dir: Path, server: ToyServer) -> None:
    server.close()
    done = ctl(run_dir, "ps", str(server.path))
    assert (done.returncode, b"has ended" in done.stderr) == (125, True)


def test_ps(run_dir: Path, server: ToyServer) -> None:
    evil = process_info(pid=7, command=["\x1b[31mred", "[bold]x"], name="n")
    server.handlers["ListProcesses"] = answering({"processes": [process_info(), evil]})
    assert [each["pid"] for each in as_json(ctl(run_dir, "ps", "--json", "web"))] == [1, 7]
    table = ctl(run_dir, "ps", "web").stdout.decode()
    assert "\x1b" not in table
    assert "[bold]x" in table
    assert table.splitlines()[0].split()[0] == "PID"


def test_stats(run_dir: Path, server: ToyServer) -> None:
    server.handlers["Stats"] = answering(usage())
    assert as_json(ctl(run_dir, "stats", "web", "--json"))["memory"] == 3 << 20
    table = ctl(run_dir, "stats", "web").stdout.decode()
    assert "3.0 MiB" in table
    assert "3 of 100" in table
    assert "eth0" in table


def test_stats_as_a_stream(run_dir: Path, server: ToyServer) -> None:
    server.handlers["Stats"] = answering(
        usage(time=10.0, cpu=1.0), usage(time=12.0, cpu=2.0), usage(time=13.0, cpu=2.25)
    )
    lines = ctl(run_dir, "stats", "--stream", "--interval", "2", "web").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["CPU", "-", "50.0%", "25.0%"]
    assert server.calls[0].parameters == {"interval": 2.0}
    assert server.calls[0].more
    done = ctl(run_dir, "stats", "--stream", "--json", "web")
    assert [json.loads(line)["cpu"] for line in done.stdout.splitlines()] == [1.0, 2.0, 2.25]


def test_an_answer_of_the_wrong_type(run_dir: Path, server: ToyServer) -> None:
    server.handlers["Stats"] = answering(usage(memory="much\x1b[2J"))
    done = ctl(run_dir, "stats", "web")
    assert done.returncode == 125
    assert done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stderr


def test_stop_waits_for_the_end(
    run_dir: Path, server: ToyServer, init_process: subprocess.Popen[bytes]
) -> None:
    def shutdown(conversation: Conversation, call: Call) -> None:
        conversation.reply()
        write_exit(server.folder, code=0, signal=None, exit_code=0, reason="stopped", ended=1.0)
        init_process.kill()

    write_state(server.folder, init_process.pid)
    server.handlers["Shutdown"] = shutdown
    done = ctl(run_dir, "stop", "-t", "3", "--json", "web")
    assert as_json(done)["exit"]["reason"] == "stopped"
    assert server.calls[0].parameters == {"timeout": 3.0}


def test_stop_by_a_path_waits_for_the_connection_to_end(run_dir: Path, server: ToyServer) -> None:
    def shutdown(conversation: Conversation, call: Call) -> None:
        conversation.reply()
        server.close()

    server.handlers["Shutdown"] = shutdown
    assert ctl(run_dir, "stop", str(server.path)).returncode == 0


def test_kill(run_dir: Path, server: ToyServer) -> None:
    server.handlers["Kill"] = answering({})
    assert ctl(run_dir, "kill", "-s", "RTMIN+3", "web").returncode == 0
    assert server.calls[0].parameters == {"signal": "RTMIN+3"}
    done = ctl(run_dir, "kill", "-s", "NOPE", "web")
    assert (done.returncode, b"no such signal" in done.stderr) == (125, True)


def test_rm(run_dir: Path, ended: Path, server: ToyServer) -> None:
    assert ctl(run_dir, "rm", "old").returncode == 0
    assert not ended.exists()
    assert ctl(run_dir, "rm", "old").returncode == 125
    assert ctl(run_dir, "rm", "-f", "old").returncode == 0
    done = ctl(run_dir, "rm", "web")
    assert (done.returncode, b"stop it first" in done.stderr) == (125, True)
    assert server.path.exists()


def test_rm_of_one_that_runs(run_dir: Path, init_process: subprocess.Popen[bytes]) -> None:
    write_state(run_dir / "web", init_process.pid)
    assert ctl(run_dir, "rm", "web").returncode == 125
    assert init_process.poll() is None
    assert ctl(run_dir, "rm", "--force", "web").returncode == 0
    assert init_process.wait(30) == -signal.SIGKILL
    assert not (run_dir / "web").exists()


def test_execs_and_signal(run_dir: Path, server: ToyServer) -> None:
    ctl(run_dir, "exec", "-d", "web", "sleep", "60")
    assert [each["id"] for each in as_json(ctl(run_dir, "execs", "web", "--json"))] == ["e1"]
    assert "running, detached" in ctl(run_dir, "execs", "web").stdout.decode()
    assert ctl(run_dir, "signal", "web", "e1", "TERM").returncode == 0
    assert ctl(run_dir, "wait", "web", "e1").stdout == b"143\n"
    assert "signal 15" in ctl(run_dir, "execs", "web").stdout.decode()


def test_call(run_dir: Path, server: ToyServer) -> None:
    server.handlers["Stats"] = answering(usage(), usage())
    done = ctl(run_dir, "call", "web", "Stats", '{"interval": 1}', "--more")
    assert len(done.stdout.splitlines()) == 2
    server.handlers["Describe"] = answering(container_info())
    assert as_json(ctl(run_dir, "call", "web", "io.pyinit.Control.Describe"))["container"]
    for bad in ("[]", "{"):
        assert ctl(run_dir, "call", "web", "Stats", bad).returncode == 125
    unknown = ctl(run_dir, "call", "web", "Nope")
    assert (unknown.returncode, b"has no method" in unknown.stderr) == (125, True)


def test_inspect_and_describe(run_dir: Path, server: ToyServer, ended: Path) -> None:
    server.handlers["Describe"] = answering(container_info())
    server.handlers["GetInterfaceDescription"] = answering({"description": "interface x\n\x1b"})
    assert as_json(ctl(run_dir, "inspect", "old"))["exit"]["code"] == 3
    assert as_json(ctl(run_dir, "inspect", "web"))["container"]["hostname"] == "web"
    assert ctl(run_dir, "describe", "web").stdout == b"interface x\n\\x1b\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb(run_dir: Path, verb: str) -> None:
    done = ctl(run_dir, verb, "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Usage: pyinit-ctl " + verb.encode() in done.stdout


def test_help_and_version(run_dir: Path) -> None:
    done = ctl(run_dir, "--help")
    assert all(verb.encode() in done.stdout for verb in [*QUICK, *VERBS])
    assert b"pyinit-ctl" in ctl(run_dir, "--version").stdout
    assert b"pyinit-ctl dial" in ctl(run_dir, "--", "dial", "--help").stdout


@pytest.mark.parametrize(
    "words", [["nope"], ["ps"], ["ps", "--nope", "web"], ["stop", "-t", "x", "w"]]
)
def test_wrong_usage_is_one_line_and_125(run_dir: Path, words: list[str]) -> None:
    done = ctl(run_dir, *words)
    assert (done.returncode, done.stderr.count(b"\n")) == (125, 1)
    assert done.stderr.startswith(b"pyinit-ctl: ")


@pytest.mark.parametrize(
    ("words", "loaded"),
    [
        # `ls` clears what has ended, which is the container package's work.
        (["ls", "-q"], ["pyinit.container", "pyinit_ctl.verbs.ls"]),
        (["ls", "--json"], ["pyinit.container", "pyinit_ctl.verbs.ls"]),
        (["ps", "web"], ["pyinit_ctl.verbs.ps"]),
        (["ps", "--help"], ["click", "pyinit_ctl.verbs.ps"]),
        (["logs", "--help"], ["click", "pyinit_ctl.verbs.logs"]),
    ],
)
def test_a_verb_loads_no_other(run_dir: Path, words: list[str], loaded: list[str]) -> None:
    code = (
        "import contextlib, sys; from pyinit_ctl import __main__ as entry; entry.leave = sys.exit\n"
        "with contextlib.suppress(SystemExit): entry.main()\n"
        "print('', *[m for m in sys.modules if m.startswith('pyinit_ctl.verbs.') or m in"
        " ('trio', 'structlog', 'pyroute2', 'pyinit.container', 'click', 'rich')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=environment(run_dir), capture_output=True, timeout=30,
    )  # fmt: skip
    assert sorted(done.stdout.decode().splitlines()[-1].split()) == loaded
