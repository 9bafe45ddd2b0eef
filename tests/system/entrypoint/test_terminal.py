"""The terminal is the command's: by hand-over of the session, or as its foreground group."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.inits import LIMIT_S, PYINIT, environment

pytestmark = pytest.mark.root

# Says whether it is in the foreground, leads a session, and can open its terminal; then waits
# for an interrupt.
TOLD = (
    "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [2]);"
    " print('told', os.tcgetpgrp(0) == os.getpgrp(), os.getsid(0) == os.getpid(),"
    " os.close(os.open('/dev/tty', os.O_RDWR)) is None, flush=True);"
    " os._exit(20 + signal.sigwait([2]))"
)
# A session whose terminal is standard input, as a runtime makes it for `run -t`.
LEADER = (
    "import fcntl, os, sys, termios; os.setsid();"
    " fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture(params=["lean", "full"])
def pyinit(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    if request.param == "lean":
        return PYINIT
    return (*PYINIT, "--control", str(tmp_path / "c.sock"))


class Terminal:
    def __init__(self, master: int) -> None:
        self.master = master
        self.seen = b""

    def read_until(self, wanted: bytes) -> bytes:
        while wanted not in self.seen:
            ready, _, _ = select.select([self.master], [], [], LIMIT_S)
            assert ready, self.seen
            self.seen += os.read(self.master, 4096)
        return self.seen


def on_terminal(*command: str) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    master, slave = pty.openpty()
    leader = [sys.executable, "-S", "-c", LEADER, *command]
    process = subprocess.Popen(leader, stdin=slave, stdout=slave, stderr=slave, env=environment())
    os.close(slave)
    try:
        yield Terminal(master), process
    finally:
        process.kill()
        process.wait()
        os.close(master)


PAYLOAD = (sys.executable, "-S", "-c", TOLD)
UNSHARE = ("unshare", "-pf", "--mount-proc", "--kill-child")


@pytest.mark.parametrize(
    ("before", "leads"),
    [((), True), (UNSHARE, False)],
    ids=["leader", "not-leader"],
)
def test_the_command_has_the_terminal(
    before: tuple[str, ...], leads: bool, pyinit: tuple[str, ...]
) -> None:
    for terminal, process in on_terminal(*before, *pyinit, *PAYLOAD):
        told = terminal.read_until(b"told").split(b"told")[0]
        assert told == b""
        assert f"told True {leads} True".encode() in terminal.read_until(b"\n")
        os.write(terminal.master, b"\x03")
        assert process.wait(LIMIT_S) == 22
