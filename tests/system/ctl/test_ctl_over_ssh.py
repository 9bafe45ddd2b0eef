"""`pyinit-ctl exec -H`, through a real sshd on loopback."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sshd import serving
from tests.support.targets import PATIENCE_S, Target, read_until, until

pytestmark = [pytest.mark.root, pytest.mark.package("openssh-server", "openssh-client")]

PIPE = subprocess.PIPE
HERE = "root@127.0.0.1"


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory, module_target: Target) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("ssh"), module_target.host.run_dir) as command:
        yield command


class Far:
    """`exec -H` for a container that is reached by ssh only."""

    def __init__(self, target: Target, ssh: str) -> None:
        self.target = target
        # Nothing is found by this machine's own folder.
        self.env = {"PYINIT_SSH": ssh, "PYINIT_RUN_DIR": "/nonexistent"}

    def _words(self, words: tuple[str, ...], options: tuple[str, ...]) -> list[str]:
        return ["exec", "-H", HERE, *options, self.target.name, "--", *words]

    def run(self, *words: str, options: tuple[str, ...] = (), **more: Any) -> Any:
        return self.target.host.ctl(*self._words(words, options), env=self.env, **more)

    def start(self, *words: str, options: tuple[str, ...] = (), **more: Any) -> Any:
        return self.target.host.start(*self._words(words, options), env=self.env, **more)


@pytest.fixture
def far(target: Target, ssh: str) -> Far:
    return Far(target, ssh)


def test_streams_and_status(far: Far) -> None:
    done = far.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["no-such-command"], 127),
        (["/etc"], 126),
    ],
)
def test_statuses(far: Far, words: list[str], status: int) -> None:
    assert far.run(*words).returncode == status


def test_timeout(far: Far) -> None:
    assert far.run("sleep", "600", options=("--timeout", "0.2")).returncode == 124


def test_binary_both_ways(far: Far) -> None:
    data = bytes(range(256)) * 20000
    done = far.run("sh", "-c", "tee /dev/stderr", options=("-i",), input=data)
    assert (done.returncode, done.stdout, done.stderr) == (0, data, data)


def test_half_close(far: Far) -> None:
    client = far.start(
        "sh", "-c", "cat; echo end; exit 6", options=("-i",), stdin=PIPE, stdout=PIPE
    )
    client.stdin.write(b"here\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"here\n"
    assert client.communicate(timeout=PATIENCE_S)[0] == b"end\n"
    assert client.returncode == 6


def test_a_command_that_reads_nothing_takes_signals(far: Far) -> None:
    script = "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    client = far.start("sh", "-c", script, options=("-i",), stdin=PIPE, stdout=PIPE)
    assert client.stdout.readline() == b"ready\n"
    os.set_blocking(client.stdin.fileno(), False)
    until(lambda: not _writes(client.stdin.fileno()))
    client.send_signal(signal.SIGTERM)
    assert read_until(client.stdout.fileno()) == b"got\n"
    assert client.wait(PATIENCE_S) == 5
    client.stdout.close()
    client.stdin.close()


def _writes(descriptor: int) -> bool:
    try:
        os.write(descriptor, b"x" * 65536)
    except BlockingIOError:
        return False
    return True


def test_the_command_ends_with_its_client(far: Far) -> None:
    client = far.start("sh", "-c", "echo ready; sleep 600", stdout=PIPE)
    assert client.stdout.readline() == b"ready\n"
    client.kill()
    client.communicate(timeout=PATIENCE_S)
    until(lambda: not far.target.running())


def test_a_lost_connection_is_125(far: Far) -> None:
    client = far.start("sh", "-c", "echo ready; sleep 600", stdout=PIPE, stderr=PIPE)
    assert client.stdout.readline() == b"ready\n"
    children = f"/proc/{client.pid}/task/{client.pid}/children"
    (ssh,) = Path(children).read_text().split()
    os.kill(int(ssh), signal.SIGKILL)
    _, err = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 125
    assert b"unknown" in err
    until(lambda: not far.target.running())


def test_what_is_left_behind_holds_up_nothing(far: Far) -> None:
    for background in ("sleep 600", "yes"):
        done = far.run("sh", "-c", f"{background} & echo $! >/tmp/left; exit 3")
        assert done.returncode == 3
        assert b"a process it left behind holds its output" in done.stderr
        assert far.target.exec("sh", "-c", "kill $(cat /tmp/left) || :").returncode == 0


def test_a_slow_reader_gets_everything(far: Far) -> None:
    client = far.start("sh", "-c", "seq 1000000; exit 4", stdout=PIPE, bufsize=0)
    assert client.stdout.read(2) == b"1\n"
    assert far.target.running()  # held up by us
    wanted = b"".join(b"%d\n" % number for number in range(2, 1000001))
    assert client.communicate(timeout=PATIENCE_S)[0] == wanted
    assert client.returncode == 4


def test_a_terminal(far: Far) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (31, 97))
    before = termios.tcgetattr(slave)
    client = far.start(
        "sh",
        "-c",
        "stty size; read x; stty size; echo got $x; exit 8",
        options=("-i", "-t"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    assert b"31 97\r\n" in read_until(master, b"31 97\r\n")
    termios.tcsetwinsize(slave, (17, 45))
    client.send_signal(signal.SIGWINCH)
    os.write(master, b"keys\r")
    assert b"17 45\r\ngot keys\r\n" in read_until(master, b"got keys\r\n")
    assert client.wait(PATIENCE_S) == 8
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_keys_that_end_a_command(far: Far) -> None:
    master, slave = pty.openpty()
    client = far.start(
        "sh",
        "-c",
        "echo ready; exec sleep 600",
        options=("-i", "-t"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    read_until(master, b"ready\r\n")
    os.write(master, b"\x03")
    assert client.wait(PATIENCE_S) == 130
    os.close(master)
    os.close(slave)


def test_detaching_from_afar(far: Far) -> None:
    """What is typed at once with the keys, and before them, is not lost."""
    master, slave = pty.openpty()
    client = far.start(
        "sh",
        "-c",
        'echo ready; read x; test "$x" = typed && exit 9',
        options=("-i", "-t"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    read_until(master, b"ready\r\n")
    os.write(master, b"typed\x10\x11")
    assert client.wait(PATIENCE_S) == 0
    (found,) = far.target.running()
    again = far.target.attach(found["id"], stdin=PIPE, stdout=PIPE)
    again.communicate(b"\r", timeout=PATIENCE_S)
    assert again.returncode == 9
    os.close(master)
    os.close(slave)


def test_detached(far: Far) -> None:
    identity = far.run("sh", "-c", "echo kept; exit 4", options=("-d",)).stdout.decode().strip()
    assert far.target.host.ctl("wait", far.target.name, identity).stdout == b"4\n"
    assert far.target.host.ctl("attach", far.target.name, identity).stdout == b"kept\n"


def test_a_host_that_refuses(far: Far) -> None:
    far.env["PYINIT_SSH"] += " -o PubkeyAuthentication=no"
    done = far.run("true")
    assert done.returncode == 125
    assert b"Permission denied" in done.stderr
