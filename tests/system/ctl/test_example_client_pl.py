"""examples/client.pl: an exec from Perl, by socat and through a real sshd on loopback."""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sshd import serving
from tests.support.targets import PATIENCE_S, Target, read_until, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.package("perl", "socat", "openssh-server", "openssh-client"),
]

PIPE = subprocess.PIPE
CLIENT = Path(__file__).parents[3] / "examples" / "client.pl"


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory, module_target: Target) -> Iterator[list[str]]:
    with serving(tmp_path_factory.mktemp("ssh"), module_target.host.run_dir) as command:
        yield [*shlex.split(command), "root@127.0.0.1"]


class Perl:
    """The client, with a way to the target's socket."""

    def __init__(self, target: Target, connect: list[str]) -> None:
        self.target = target
        self._connect = connect

    def start(self, *words: str, terminal: bool = False, **options: Any) -> subprocess.Popen[bytes]:
        flags = ["-t"] * terminal
        return subprocess.Popen([CLIENT, *flags, *self._connect, "--", *words], **options)

    def run(self, *words: str, data: bytes = b"") -> tuple[int, bytes, bytes]:
        client = self.start(*words, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        out, err = client.communicate(data, timeout=PATIENCE_S)
        return client.returncode, out, err


@pytest.fixture
def perl(target: Target, ssh: list[str], request: pytest.FixtureRequest) -> Perl:
    socat = ["socat", "-", f"UNIX-CONNECT:{target.socket}"]
    ways = {
        "socat": socat,
        "socat by ssh": [*ssh, *socat],
        "dial by ssh": [*ssh, "pyinit-ctl", "dial", "--hang-up", target.name],
    }
    return Perl(target, ways[request.param])


@pytest.mark.parametrize("perl", ["socat", "dial by ssh"], indirect=True)
def test_streams_and_statuses(perl: Perl) -> None:
    data = bytes(range(256)) * 2000
    assert perl.run("sh", "-c", "tee /dev/stderr; exit 7", data=data) == (7, data, data)
    assert perl.run("sh", "-c", "kill -KILL $$")[0] == 137
    status, _, err = perl.run("no-such-command")
    assert (status, b"CommandNotFound" in err) == (127, True)


@pytest.mark.parametrize("perl", ["socat"], indirect=True)
def test_a_full_output_that_does_not_block(perl: Perl) -> None:
    """As ssh leaves the stderr that it shares with the client."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(reading, "rb") as output:
        command = ("sh", "-c", "head -c 1000000 /dev/zero >&2; exit 3")
        client = perl.start(*command, stdin=subprocess.DEVNULL, stderr=writing)
        os.close(writing)
        # A pipe's size, by pipe(7).
        until(lambda: unread(reading) == 1 << 16)
        assert output.read() == bytes(1_000_000)
    assert client.wait(PATIENCE_S) == 3


def unread(descriptor: int) -> int:
    size = bytearray(4)
    fcntl.ioctl(descriptor, termios.FIONREAD, size)
    return int.from_bytes(size, sys.byteorder)


@pytest.mark.parametrize("perl", ["socat"], indirect=True)
def test_a_signal_reaches_a_command_that_reads_nothing(perl: Perl) -> None:
    script = "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    client = perl.start("sh", "-c", script, stdin=PIPE, stdout=PIPE)
    assert client.stdin
    assert client.stdout
    assert client.stdout.readline() == b"ready\n"
    client.send_signal(signal.SIGTERM)
    assert client.stdout.readline() == b"got\n"
    client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 5


@pytest.mark.parametrize("perl", ["socat", "socat by ssh", "dial by ssh"], indirect=True)
def test_the_command_ends_with_its_client(perl: Perl) -> None:
    client = perl.start("sh", "-c", "echo ready; sleep 600", stdin=PIPE, stdout=PIPE)
    assert client.stdout
    assert client.stdout.readline() == b"ready\n"
    client.kill()
    client.communicate(timeout=PATIENCE_S)
    until(lambda: not perl.target.running())


@pytest.mark.parametrize("perl", ["socat"], indirect=True)
def test_a_lost_connection_is_125(perl: Perl) -> None:
    client = perl.start("sh", "-c", "echo ready; sleep 600", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert client.stdout
    assert client.stdout.readline() == b"ready\n"
    (child,) = Path(f"/proc/{client.pid}/task/{client.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    _, err = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 125
    assert b"unknown" in err
    until(lambda: not perl.target.running())


@pytest.mark.parametrize("perl", ["dial by ssh"], indirect=True)
def test_a_terminal(perl: Perl) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (31, 97))
    before = termios.tcgetattr(slave)
    script = "stty size; read x; stty size; echo got $x; exit 8"
    client = perl.start(
        "sh",
        "-c",
        script,
        terminal=True,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    read_until(master, b"31 97\r\n")
    termios.tcsetwinsize(slave, (17, 45))
    client.send_signal(signal.SIGWINCH)
    os.write(master, b"keys\r")
    read_until(master, b"17 45\r\ngot keys\r\n")
    assert client.wait(PATIENCE_S) == 8
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)
