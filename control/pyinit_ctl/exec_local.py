"""`pyinit-ctl exec` over a connection: the call, and what it takes until the command has ended."""

from __future__ import annotations

from pyinit.errors import ConnectionLost, ProtocolError
from pyinit.varlink.scm import close_all
from pyinit_ctl.replies import TIMED_OUT, exit_status, text
from pyinit_ctl.stdio import Stdio, check_outputs, print_line, say
from pyinit_ctl.wire import Link

TYPE_CHECKING = False

if TYPE_CHECKING:
    import _socket
    from typing import Any

    from pyinit.varlink.envelope import Reply
    from pyinit_ctl.exec_options import ExecOptions
    from pyinit_ctl.registry import Target


def run_local(
    connected: _socket.socket, target: Target, options: ExecOptions, command: dict[str, Any]
) -> int:
    """Carry out a parsed command line by a connection to `target`, which is closed then.

    Returns the exit status; raises PyinitError.
    """
    with Link(connected) as link:
        if options.flag("detach"):
            return _detached(link, options, command)
        if options.flag("tty"):
            from pyinit_ctl.exec_terminal import run_in_terminal

            return run_in_terminal(link, target, options, command)
        return _attached(link, target, options, command)


def _detached(link: Link, options: ExecOptions, command: dict[str, Any]) -> int:
    parameters: dict[str, Any] = {"command": command, "detach": True}
    if options.flag("tty"):
        from pyinit_ctl.exec_terminal import terminal_parameters

        parameters["terminal"] = terminal_parameters()
    from pyinit_ctl.printable import printable

    print_line(printable(text(link.call("Exec", parameters), "id")))
    return 0


def _attached(link: Link, target: Target, options: ExecOptions, command: dict[str, Any]) -> int:
    from pyinit_ctl.forward import Forwarder

    stdio = Stdio.plan(options.flag("interactive"))
    forwarder = Forwarder()
    parameters, fds = with_descriptors({"command": command}, stdio.descriptors)
    link.send("Exec", parameters, more=True, fds=fds)
    started = check_event(link.receive(), "started")
    close_all(started.fds)
    stdio.handed_over()
    forwarder.begin(target, "SignalExec", {"id": text(started.parameters, "id")})
    return status_of(await_exit(link, stdio))


def with_descriptors(
    parameters: dict[str, Any], named: dict[str, int]
) -> tuple[dict[str, Any], list[int]]:
    """`parameters` with an index for each named descriptor, and the descriptors by index.

    One that has two names goes once.
    """
    fds: list[int] = []
    for name, descriptor in named.items():
        if descriptor not in fds:
            fds.append(descriptor)
        parameters[name] = fds.index(descriptor)
    return parameters, fds


def check_event(reply: Reply, expected: str) -> Reply:
    """A reply of an Exec or AttachExec, if it is the `expected` event, or the last one.

    Raises ProtocolError, ConnectionLost; its descriptors are closed then.
    """
    if reply.parameters.get("event") != expected:
        close_all(reply.fds)
        raise ProtocolError("the container answered out of order")
    if reply.continues != (expected != "exited"):
        close_all(reply.fds)
        raise ConnectionLost("the container ended the conversation before the command ended")
    return reply


def await_exit(link: Link, stdio: Stdio) -> Reply:
    """The last reply of an exec.

    Relays until the command has ended, and its output too as far as `relay` tells.
    """
    complete = True
    if stdio.inputs or stdio.outputs:
        from pyinit_ctl.relay import drain, relay_until_reply

        reply = relay_until_reply(link, stdio.inputs + stdio.outputs)
        complete = drain(stdio.outputs)
    else:
        reply = link.receive()
    exited = check_event(reply, "exited")
    close_all(exited.fds)
    if not complete:
        tell_held()
    check_outputs(stdio)
    return exited


def tell_held() -> None:
    """Say why there may be output that does not come."""
    say("the command has ended, but a process it left behind holds its output: not waiting")


def status_of(exited: Reply) -> int:
    """The exit status of `pyinit-ctl` for the last reply. Raises ProtocolError."""
    if exited.parameters.get("timed_out") is True:
        return TIMED_OUT
    return exit_status(exited.parameters.get("status"))
