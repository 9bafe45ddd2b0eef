"""A fork by clone3 in a process of several threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

# Another thread asks for the GIL again and again, as soon as may be: also while the fork is
# under way. The child gives the GIL away at its first system call that may block.
PROGRAM = """
import os, signal, sys, threading
from pyinit.linux.clone import CloneArguments, _fork

sys.setswitchinterval(1e-6)
over = threading.Event()

def busy():
    while not over.is_set():
        sum(range(100))

others = [threading.Thread(target=busy) for _ in range(2)]
for each in others:
    each.start()
for _ in range(200):
    pid = _fork(CloneArguments(exit_signal=signal.SIGCHLD.value))
    if pid == 0:
        os.stat("/")
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
over.set()
for each in others:
    each.join()
try:
    _fork(CloneArguments(flags=1 << 63, exit_signal=signal.SIGCHLD.value))
except OSError as error:
    print(error.errno)
"""


def test_a_child_does_not_wait_for_threads_that_it_has_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=15
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "22\n", "")
