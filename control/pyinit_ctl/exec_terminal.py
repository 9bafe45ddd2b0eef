"""`pyinit-ctl exec -t`: the command has a terminal of its own, joined to ours."""

from __future__ import annotations

import _signal
import os

from pyinit.errors import ProtocolError
from pyinit.varlink.scm import close_all
from pyinit_ctl import registry
from pyinit_ctl.exec_local import check_event, status_of
from pyinit_ctl.replies import text
from pyinit_ctl.stdio import say
from pyinit_ctl.terminal import (
    Detached,
    Joined,
    RawTerminal,
    Signalled,
    check_master,
    size_of,
)
from pyinit_ctl.wire import Link

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from pyinit.varlink.envelope import Reply
    from pyinit_ctl.exec_options import ExecOptions
    from pyinit_ctl.registry import Target


def terminal_parameters() -> dict[str, Any]:
    """The `Terminal` of io.pyinit.Control for where we run."""
    rows, columns = size_of(0, 1, 2)
    parameters: dict[str, Any] = {"rows": rows, "columns": columns}
    if os.environ.get("TERM"):
        parameters["term"] = os.environ["TERM"]
    return parameters


def run_in_terminal(
    link: Link, target: Target, options: ExecOptions, command: dict[str, Any]
) -> int:
    """Run `command` with a pty, joined to our stdin (with `-i`) and stdout."""
    keys = options.detach_keys()
    link.send("Exec", {"command": command, "terminal": terminal_parameters()}, more=True)
    started = check_event(link.receive(), "started")
    return join(link, target, started, keys, options.flag("interactive"))


def join(link: Link, target: Target, started: Reply, keys: bytes, interactive: bool) -> int:
    """Be the terminal of a command whose master came with `started`, until it ends.

    A signal that ends us ends us in its own way, once the terminal is as it was.
    """
    exec_id = text(started.parameters, "id")
    master = take_master(started)
    joined = Joined(master, keys, interactive)
    try:
        with RawTerminal(0 if interactive else None, master):
            exited = check_event(joined.run(link), "exited")
            joined.drain()
    except Detached:
        return _detach(target, exec_id)
    except Signalled as signalled:
        return die_of(signalled.number)
    finally:
        os.close(master)
    close_all(exited.fds)
    return status_of(exited)


def take_master(reply: Reply) -> int:
    """The pty's master that came with a reply, checked and non-blocking.

    Raises ProtocolError, with every descriptor closed.
    """
    index = reply.parameters.get("terminal")
    try:
        if len(reply.fds) != 1 or index != 0 or isinstance(index, bool):
            raise ProtocolError("the container sent no terminal")
        check_master(reply.fds[0])
    except ProtocolError:
        close_all(reply.fds)
        raise
    # Both ends of the relay share this flag with whoever holds the same open file.
    os.set_blocking(reply.fds[0], False)
    return reply.fds[0]


def _detach(target: Target, exec_id: str) -> int:
    with Link(registry.connect(target)) as other:
        other.call("DetachExec", {"id": exec_id})
    leave_line()
    say(f"detached from {exec_id}; `pyinit-ctl attach {target} {exec_id}` comes back to it")
    return 0


def leave_line() -> None:
    """What the command wrote last need not be a whole line: go to the next one."""
    if os.isatty(2):
        os.write(2, b"\n")


def die_of(number: int) -> int:
    """End as the signal would have ended us."""
    _signal.signal(number, _signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number  # where the signal is blocked
