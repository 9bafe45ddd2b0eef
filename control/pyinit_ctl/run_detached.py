"""Leaving a container running, with somebody who clears it away once it has ended."""

from __future__ import annotations

import os
import sys

from pyinit.container.launch import launch
from pyinit.spec.container import ContainerSpec
from pyinit_ctl.stdio import print_line

SHELL = "/bin/sh"
# Waits until nobody holds the other end of the pipe: that is PID 1 alone. A shell takes a
# tenth of the memory that an interpreter takes for it.
SCRIPT = 'read -r _ <&3; exec 3<&- "$@"'
START = "from pyinit_ctl.__main__ import main; main()"


def run_detached(spec: ContainerSpec) -> int:
    """Launch, print the name, and leave a waiter behind. Returns the exit status."""
    waits, held = os.pipe2(os.O_CLOEXEC)
    try:
        launch(spec, lifeline=held).close()
        os.close(held)
        _leave_waiter(spec.name, waits)
    finally:
        os.close(waits)
    print_line(spec.name)
    return 0


def _leave_waiter(name: str, waits: int) -> None:
    """Without a shell on the host whoever comes next clears the container away."""
    # Without site, and with nothing of the folder that we happen to be in.
    start = [sys.executable, "-S", "-P", "-c", START]
    clear = [*start, "gc", "--quiet", "--after-init", name]
    null = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in range(3)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        os.posix_spawn(
            SHELL,
            [SHELL, "-c", SCRIPT, "pyinit-waiter", *clear],
            environment,
            file_actions=[*null, (os.POSIX_SPAWN_DUP2, waits, 3)],
            setsid=True,
        )
    except OSError:
        return
