"""`pyinit-ctl exec --host`: an exec over one byte stream, with a shell in place of ssh."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyinit.varlink import stream
from pyinit.varlink.envelope import Call
from tests.support.ctl import START, ctl, environment, start
from tests.support.toy_server import Conversation, ToyServer, hang_up

SSH = """#!/bin/sh
# As ssh: options, --, host, command.
[ "$1 $2" = "-T --" ] || exit 255
echo "$3" >"$(dirname "$0")/host"
exec sh -c "$4"
"""


@pytest.fixture
def over_there(tmp_path: Path, server: ToyServer) -> dict[str, str]:
    """The environment in which ssh leads to the same machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = shlex.join([sys.executable, "-c", START])
    for name, script in (("ssh", SSH), ("pyinit-ctl", f'#!/bin/sh\nexec {command} "$@"\n')):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def far(
    run_dir: Path, env: dict[str, str], *words: str, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    return ctl(run_dir, "exec", "-H", "me@far", *words, env=env, **options)


def test_streams_and_status(run_dir: Path, over_there: dict[str, str], tmp_path: Path) -> None:
    done = far(run_dir, over_there, "web", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert (tmp_path / "bin" / "host").read_text() == "me@far\n"


def test_input(run_dir: Path, over_there: dict[str, str]) -> None:
    content = os.urandom(1_000_000)
    assert far(run_dir, over_there, "-i", "web", "cat", input=content).stdout == content
    assert far(run_dir, over_there, "web", "cat", input=content).stdout == b""


def test_statuses(run_dir: Path, over_there: dict[str, str]) -> None:
    assert far(run_dir, over_there, "web", "sh", "-c", "kill -KILL $$").returncode == 137
    assert far(run_dir, over_there, "web", "no-such-command").returncode == 127
    assert far(run_dir, over_there, "--timeout", "0.1", "web", "sleep", "60").returncode == 124


def test_no_such_target_over_there(run_dir: Path, over_there: dict[str, str]) -> None:
    done = far(run_dir, over_there, "it's", "true")
    assert done.returncode == 125
    assert b"""no container named "it's\"""" in done.stderr


def test_an_ssh_that_fails(run_dir: Path, over_there: dict[str, str]) -> None:
    done = far(run_dir, {**over_there, "PYINIT_SSH": "false"}, "web", "true")
    assert (done.returncode, done.stderr.count(b"\n")) == (125, 1)
    done = far(run_dir, {**over_there, "PYINIT_SSH": "no-such-ssh -x"}, "web", "true")
    assert b"no-such-ssh is not installed" in done.stderr
    done = ctl(run_dir, "exec", "--host=-oProxyCommand=x", "web", "true", env=over_there)
    assert b"is no host" in done.stderr


def test_a_stream_that_is_cut_off(
    run_dir: Path, over_there: dict[str, str], server: ToyServer
) -> None:
    def lose(conversation: Conversation, call: Call) -> None:
        conversation.reply({"id": "e1", "pid": 1})
        conversation.send(stream.encode(stream.STDOUT, b"some"))
        hang_up(conversation)

    server.handlers["ExecStream"] = lose
    done = far(run_dir, over_there, "web", "true")
    assert (done.returncode, done.stdout) == (125, b"some")
    assert b"the stream ended before the command" in done.stderr


@pytest.mark.parametrize(
    "frame",
    [
        stream.encode(stream.EXIT, b"{}"),
        stream.encode(stream.EXIT, b"[]"),
        stream.encode(stream.EXIT, b"\xff"),
        stream.encode(stream.ERROR, b"{}"),
        stream.encode(stream.ERROR, b"0"),
        stream.encode(9),
    ],
)
def test_frames_that_make_no_sense(
    run_dir: Path, over_there: dict[str, str], server: ToyServer, frame: bytes
) -> None:
    def lie(conversation: Conversation, call: Call) -> None:
        conversation.send(conversation.server.reply({"id": "e1", "pid": 1}) + frame)

    server.handlers["ExecStream"] = lie
    done = far(run_dir, over_there, "web", "true")
    assert (done.returncode, done.stderr.count(b"\n")) == (125, 1)


def test_an_error_at_the_end(run_dir: Path, over_there: dict[str, str], server: ToyServer) -> None:
    def fail(conversation: Conversation, call: Call) -> None:
        conversation.reply({"id": "e1", "pid": 1})
        error = b'{"error": "io.pyinit.Control.ShuttingDown"}'
        conversation.send(stream.encode(stream.ERROR, error))

    server.handlers["ExecStream"] = fail
    done = far(run_dir, over_there, "web", "true")
    assert (done.returncode, b"is shutting down" in done.stderr) == (125, True)


def test_signals(run_dir: Path, over_there: dict[str, str]) -> None:
    script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done"
    running = start(
        run_dir, "exec", "-H", "far", "web", "sh", "-c", script,
        stdout=subprocess.PIPE, env=over_there,
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    running.send_signal(signal.SIGUSR1)
    assert running.wait(30) == 9
    running.stdout.close()


def test_the_command_ends_with_its_client(
    run_dir: Path, over_there: dict[str, str], server: ToyServer
) -> None:
    running = start(
        run_dir, "exec", "-H", "far", "web", "sh", "-c", "echo ready; sleep 60",
        stdout=subprocess.PIPE, env=over_there,
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    running.kill()
    running.wait()
    running.stdout.close()
    assert server.execs["e1"].ended.wait(30)


def test_detached(run_dir: Path, over_there: dict[str, str], server: ToyServer) -> None:
    done = far(run_dir, over_there, "-d", "web", "true")
    assert (done.returncode, done.stdout) == (0, b"e1\n")


def test_a_terminal(run_dir: Path, over_there: dict[str, str]) -> None:
    done = far(run_dir, over_there, "-it", "web", "cat", input=b"text\n")
    assert (done.returncode, done.stdout) == (0, b"text\r\ntext\r\n")
    done = far(run_dir, over_there, "-t", "web", "sh", "-c", "stty size; exit 3")
    assert (done.returncode, done.stdout) == (3, b"24 80\r\n")


def test_dial_joins_any_bytes(run_dir: Path, server: ToyServer) -> None:
    call = b'{"method": "io.pyinit.Control.ListExecs"}\0'
    done = subprocess.run(
        [sys.executable, "-c", START, "dial", "web"],
        input=call, env=environment(run_dir), capture_output=True, timeout=30,
    )  # fmt: skip
    assert done.stdout == b'{"parameters":{"execs":[]}}\0'
    assert ctl(run_dir, "dial", "nope").returncode == 125
    assert ctl(run_dir, "dial").returncode == 125
    assert b"Usage: pyinit-ctl dial" in ctl(run_dir, "dial", "--help").stdout
