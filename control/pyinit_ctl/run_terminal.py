"""Staying with a container whose command has a terminal, joined to ours."""

from __future__ import annotations

import _signal
import os

from pyinit.container.launch import launch
from pyinit.spec.container import ContainerSpec, TerminalSize
from pyinit_ctl.run_attached import Attached
from pyinit_ctl.terminal import Joined, RawTerminal, Signalled, check_master, size_of


def run_in_terminal(spec: ContainerSpec, interactive: bool) -> int:
    """Run with a pty, joined to our stdin (with -i) and stdout."""
    rows, columns = size_of(0, 1, 2)
    size = TerminalSize(rows, columns, os.environ.get("TERM", "xterm"))
    with Attached(launch(spec, terminal=size, attended=True), spec) as attached:
        master = _master(attached)
        joined = Joined(master, b"", interactive)
        try:
            with RawTerminal(0 if interactive else None, master):
                joined.run(attached.end)
                joined.drain()
        except Signalled as signalled:
            # The terminal is as it was; the container hears a hang-up when the master closes.
            _signal.signal(signalled.number, _signal.SIG_DFL)
            os.kill(os.getpid(), signalled.number)
        return attached.exit_code()


def _master(attached: Attached) -> int:
    """The pty's master, checked and non-blocking."""
    master = attached.container.terminal
    assert master is not None
    check_master(master)
    os.set_blocking(master, False)
    return master
