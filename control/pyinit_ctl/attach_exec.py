"""Coming back to a detached exec, with or without a terminal."""

from __future__ import annotations

import binascii
import os

from pyinit.errors import NotFound, ProtocolError
from pyinit.varlink.envelope import Reply
from pyinit.varlink.scm import close_all
from pyinit_ctl import registry
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.exec_local import (
    await_exit,
    check_event,
    status_of,
    tell_held,
    with_descriptors,
)
from pyinit_ctl.exec_terminal import join, terminal_parameters
from pyinit_ctl.registry import Target
from pyinit_ctl.replies import is_number
from pyinit_ctl.stdio import Stdio, open_missing, say
from pyinit_ctl.wire import Link


def attach(target: Target, exec_id: str, keys: bytes, interactive: bool) -> int:
    """Be at the exec until it ends or is left. Returns the exit status; raises PyinitError.

    `interactive`: whether what is typed goes to it, which takes a terminal; the standard
    input of an exec without one is what it was when it was started.
    """
    open_missing()
    with BlockingClient(target) as client:
        found = [each for each in client.execs() if each.id == exec_id]
    if not found:
        raise NotFound(f"no exec {exec_id!r} in {target}; `pyinit-ctl execs {target}` lists them")
    with Link(registry.connect(target)) as link:
        if found[0].terminal:
            return _with_terminal(link, target, exec_id, keys, interactive)
        return _with_streams(link, exec_id)


def _with_terminal(link: Link, target: Target, exec_id: str, keys: bytes, interactive: bool) -> int:
    link.send("AttachExec", {"id": exec_id, "size": terminal_parameters()}, more=True)
    attached = check_event(link.receive(), "attached")
    _tell_dropped(attached)
    _show_kept(attached.parameters.get("kept"))
    if attached.fds:
        return join(link, target, attached, keys, interactive)
    # It has ended: what was kept is all there is.
    return status_of(check_event(link.receive(), "exited"))


def _with_streams(link: Link, exec_id: str) -> int:
    stdio = Stdio.plan(interactive=False)
    parameters, fds = with_descriptors({"id": exec_id}, stdio.descriptors)
    link.send("AttachExec", parameters, more=True, fds=fds)
    attached = check_event(link.receive(), "attached")
    close_all(attached.fds)
    stdio.handed_over()
    exited = await_exit(link, stdio)
    if exited.parameters.get("held") is True:
        tell_held()
    _tell_dropped(exited)
    return status_of(exited)


def _tell_dropped(reply: Reply) -> None:
    dropped = reply.parameters.get("dropped")
    if is_number(dropped, 1, 1 << 62):
        say(f"{dropped} bytes of output are missing: more than is kept")


def _show_kept(kept: object) -> None:
    if kept is None:
        return
    try:
        output = binascii.a2b_base64(kept if isinstance(kept, str) else "", strict_mode=True)
    except ValueError:
        raise ProtocolError("what the container kept is no base64") from None
    view = memoryview(output)
    while view:
        view = view[os.write(1, view) :]
