"""`pyinit-ctl exec -t` in a pty, with us as the person at the keyboard."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyinit.varlink.envelope import Call
from pyinit_ctl.terminal import DetachKeys, raw, size_of
from tests.support.ctl import ctl, start
from tests.support.targets import until
from tests.support.toy_server import Conversation, ToyServer

LIMIT = 30.0


class Person:
    """Sits at a terminal: types, reads the screen, resizes the window."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        termios.tcsetwinsize(self.slave, (33, 101))
        self.before = termios.tcgetattr(self.slave)
        self.screen = b""

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def see(self, text: bytes) -> None:
        """Wait until `text` has been on the screen, and forget what was up to there."""
        while text not in self.screen:
            assert select.select([self.master], [], [], LIMIT)[0], self.screen
            self.screen += os.read(self.master, 4096)
        self.screen = self.screen.partition(text)[2]

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self.slave, (rows, columns))

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before


@pytest.fixture
def person() -> Iterator[Person]:
    sitting = Person()
    yield sitting
    sitting.close()


def sit(person: Person, run_dir: Path, *words: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start `pyinit-ctl exec` with the terminal as its controlling one."""
    return start(
        run_dir,
        "exec",
        *words,
        stdin=person.slave,
        stdout=person.slave,
        stderr=person.slave,
        start_new_session=True,
        env={"TERM": "vt100"},
        **options,
    )


@pytest.fixture
def running(run_dir: Path, server: ToyServer, person: Person) -> Iterator[subprocess.Popen[bytes]]:
    """A shell in a terminal, past its start."""
    process = sit(person, run_dir, "-it", "-e", "PS1=", "web", "sh")
    person.type(b"stty -echo; echo read''y\r")
    person.see(b"ready\r\n")
    yield process
    process.kill()
    process.wait()


def test_size_and_kind_of_terminal(person: Person, running: subprocess.Popen[bytes]) -> None:
    person.type(b"stty size; echo $TERM; test -t 0 && test -t 1 && test -t 2 && echo all\r")
    person.see(b"33 101\r\nvt100\r\nall\r\n")
    assert person.is_raw()


def test_resizing(person: Person, running: subprocess.Popen[bytes]) -> None:
    # In a shell of its own: the one that we type to is not in the foreground meanwhile.
    loop = b"while :; do sleep 0.01; done"
    person.type(b"sh -c \"trap 'stty size; exit 0' WINCH; echo trap''ped; " + loop + b'"; exit\r')
    person.see(b"trapped")
    person.resize(44, 55)
    running.send_signal(signal.SIGWINCH)  # the kernel tells the foreground group only
    person.see(b"44 55")
    assert running.wait(LIMIT) == 0


def test_keys_reach_the_command_as_they_are(
    person: Person, running: subprocess.Popen[bytes]
) -> None:
    person.type(b"stty -icanon; echo no''w; dd bs=1 count=2 2>&1 | od -c\r")
    person.see(b"now")
    person.type(b"\x10x")  # Ctrl-P alone does not detach
    person.see(b"020   x")
    loop = b"echo loop''ing; while :; do sleep 0.01; done"
    person.type(b"sh -c \"trap 'echo interrupt''ed; exit' INT; " + loop + b'"\r')
    person.see(b"looping")
    person.type(b"\x03")
    person.see(b"interrupted")
    assert running.poll() is None


def test_exit_status_and_restored_terminal(
    person: Person, running: subprocess.Popen[bytes]
) -> None:
    person.type(b"exit 7\r")
    assert running.wait(LIMIT) == 7
    assert person.is_as_before()


def test_detaching(person: Person, running: subprocess.Popen[bytes], server: ToyServer) -> None:
    person.type(b"\x10\x11")
    person.see(b"detached from e1; `pyinit-ctl attach web e1` comes back to it")
    assert running.wait(LIMIT) == 0
    assert person.is_as_before()
    assert not server.execs["e1"].ended.is_set()


def test_what_is_typed_at_once_with_the_keys_is_not_lost(
    person: Person, running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    done = tmp_path / "done"
    person.type(f"touch {done}\r".encode() + b"\x10\x11")
    assert running.wait(LIMIT) == 0
    until(done.exists)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_the_terminal_is_restored_when_a_signal_ends_us(
    person: Person, running: subprocess.Popen[bytes], server: ToyServer, number: signal.Signals
) -> None:
    running.send_signal(number)
    assert running.wait(LIMIT) == -number
    assert person.is_as_before()
    assert server.execs["e1"].ended.wait(LIMIT)


def test_the_terminal_is_restored_when_the_container_dies(
    person: Person, running: subprocess.Popen[bytes], server: ToyServer
) -> None:
    server.close()
    assert running.wait(LIMIT) == 125
    assert person.is_as_before()
    person.see(b"pyinit-ctl: the connection ended before")


def test_raw_again_after_a_stop(person: Person, running: subprocess.Popen[bytes]) -> None:
    running.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, running.pid, os.WSTOPPED)
    termios.tcsetattr(person.slave, termios.TCSANOW, person.before)  # as a shell does
    running.send_signal(signal.SIGCONT)
    person.type(b"echo agai''n\r")
    person.see(b"again")
    assert person.is_raw()


def test_a_window_that_is_closed_ends_the_command(run_dir: Path, server: ToyServer) -> None:
    person = Person()
    process = sit(person, run_dir, "-it", "-e", "PS1=", "web", "sh", close_fds=True)
    person.type(b"echo read''y\r")
    person.see(b"ready")
    person.close()
    process.wait(LIMIT)
    assert server.execs["e1"].ended.wait(LIMIT)


def test_much_output_arrives_whole(person: Person, running: subprocess.Popen[bytes]) -> None:
    person.type(b"seq 1 20000; echo don''e; exit 0\r")
    while b"done\r\n" not in person.screen:
        assert select.select([person.master], [], [], LIMIT)[0]
        person.screen += os.read(person.master, 65536)
    assert b"".join(b"%d\r\n" % n for n in range(1, 20001)) in person.screen
    assert running.wait(LIMIT) == 0


@pytest.mark.usefixtures("server")
def test_without_a_terminal_of_ours(run_dir: Path) -> None:
    done = ctl(run_dir, "exec", "-it", "web", "cat", input=b"text\n")
    assert (done.returncode, done.stdout) == (0, b"text\r\ntext\r\n")
    done = ctl(run_dir, "exec", "-t", "web", "sh", "-c", "stty size; exit 3")
    assert (done.returncode, done.stdout) == (3, b"24 80\r\n")


@pytest.mark.parametrize("path", ["/dev/null", "/etc/passwd", "/dev/zero"])
def test_another_descriptor_in_place_of_a_terminal(
    run_dir: Path, server: ToyServer, path: str
) -> None:
    def deceive(conversation: Conversation, call: Call) -> None:
        fd = os.open(path, os.O_RDONLY)
        started = {"event": "started", "id": "e1", "pid": 1, "terminal": 0}
        conversation.reply(started, continues=True, fds=[fd])
        os.close(fd)
        conversation.reply({"event": "exited", "id": "e1", "pid": 1, "status": {"code": 0}})

    server.handlers["Exec"] = deceive
    done = ctl(run_dir, "exec", "-it", "web", "true")
    assert (done.returncode, b"something else than a terminal" in done.stderr) == (125, True)


def test_detach_keys() -> None:
    keys = DetachKeys(b"\x10\x11")
    assert keys.filter(b"ab") == (b"ab", False)
    assert keys.filter(b"a\x10") == (b"a", False)
    assert keys.filter(b"b") == (b"\x10b", False)
    assert keys.filter(b"\x10\x10\x11rest") == (b"\x10", True)
    assert DetachKeys(b"").filter(b"\x10\x11") == (b"\x10\x11", False)


def test_raw_leaves_the_given_attributes_alone(person: Person) -> None:
    before = termios.tcgetattr(person.slave)
    raw(before)
    assert before == person.before


def test_size_of_no_terminal() -> None:
    reading, writing = os.pipe()
    assert size_of(reading) == (24, 80)
    os.close(reading)
    os.close(writing)
