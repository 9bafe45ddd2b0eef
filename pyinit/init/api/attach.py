"""AttachExec: coming back to an exec that nobody was attached to."""

from __future__ import annotations

import base64
import os
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial

import trio

from pyinit.init.api.exec_calls import AttachExecCall, AttachReply, TerminalCall, require_stream
from pyinit.init.api.execs import find
from pyinit.init.container import Container
from pyinit.init.execs import Exec
from pyinit.init.faults import InvalidArgument
from pyinit.init.outputs import STDERR, STDOUT, KeptOutput
from pyinit.init.progress import Progress
from pyinit.init.server import Method, Request
from pyinit.init.sinks import Sink
from pyinit.init.terminal import set_size
from pyinit.varlink.envelope import ErrorReply

# After the command's end its output may be held open by what it left behind. What is there by
# then is still sent, what comes for so long (seconds) after it too, and nothing later.
QUIET = 0.1
# As much of a terminal's output as fits into a message in base64.
KEPT_IN_MESSAGE = 512 << 10


class AttachMethods:
    """AttachExec."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def methods(self) -> dict[str, Method]:
        return {"AttachExec": Method(AttachExecCall, self.attach)}

    async def attach(self, request: Request, call: AttachExecCall) -> None:
        if not request.more:
            raise ErrorReply("org.varlink.service.ExpectedMore", {})
        exec_ = find(self._container, call.id)
        output = exec_.output
        if output is None:
            raise InvalidArgument(
                "id", f"exec {exec_.id} keeps no output: it is attached, or was collected"
            )
        await output.let_go()
        with output.attachment():
            if exec_.command.terminal:
                await _attach_terminal(request, exec_, output, call.size)
            else:
                await _attach_streams(request, call, exec_, output)
        if exec_.status is not None:
            exec_.forget_output()


async def _attach_terminal(
    request: Request, exec_: Exec, output: KeptOutput, size: TerminalCall | None
) -> None:
    if exec_.master is not None and size is not None:
        set_size(exec_.master, size.rows, size.columns)
    try:
        # What is still on its way is the client's to read: from the master.
        await output.pause()
        await _tell_attached(request, exec_, output.ring.text(), output.ring.begin)
        output.ring.drop_all()
        await _tell_exited(request, exec_)
    finally:
        if exec_.master is not None:
            output.drain(os.dup(exec_.master))


async def _tell_attached(request: Request, exec_: Exec, kept: bytes, dropped: int) -> None:
    newest = kept[-KEPT_IN_MESSAGE:]
    dropped += len(kept) - len(newest)
    fds = () if exec_.master is None else (exec_.master,)
    reply = AttachReply(
        "attached",
        exec_.id,
        terminal=0 if fds else None,
        kept=base64.b64encode(newest).decode(),
        dropped=dropped or None,
    )
    await request.reply(reply, continues=True, fds=fds)


async def _tell_exited(
    request: Request, exec_: Exec, dropped: int = 0, *, held: bool = False
) -> None:
    status = await exec_.wait()
    await request.reply(
        AttachReply(
            "exited",
            exec_.id,
            dropped=dropped or None,
            status=status,
            timed_out=exec_.timed_out or None,
            held=held or None,
        )
    )


async def _attach_streams(
    request: Request, call: AttachExecCall, exec_: Exec, output: KeptOutput
) -> None:
    with ExitStack() as stack:
        sinks = _sinks(stack, request, call)
        await request.reply(AttachReply("attached", exec_.id), continues=True)
        dropped = await _copy(exec_, output, sinks)
        held = not output.has_ended
    await _tell_exited(request, exec_, dropped, held=held)


def _sinks(stack: ExitStack, request: Request, call: AttachExecCall) -> dict[int, Sink]:
    """Where each stream goes; both to the same one if they have the same descriptor."""
    by_index: dict[int, Sink] = {}
    found: dict[int, Sink] = {}
    for index, stream, field in ((call.stdout, STDOUT, "stdout"), (call.stderr, STDERR, "stderr")):
        if index is None:
            continue
        if index not in by_index:
            descriptor = request.take_fd(index, field)
            assert descriptor is not None
            with ExitStack() as undo:
                undo.callback(os.close, descriptor)
                require_stream(descriptor, field)
                undo.pop_all()
            by_index[index] = stack.enter_context(Sink(descriptor))
        found[stream] = by_index[index]
    return found


async def _copy(exec_: Exec, output: KeptOutput, sinks: dict[int, Sink]) -> int:
    """Until the output has ended, or the exec has, QUIET seconds ago, and what it had left in
    its pipes is sent. Bytes that were lost."""
    position = dropped = 0
    quiet = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_set_when_quiet, exec_, output.progress, quiet)
        while True:
            last = quiet.is_set() or output.has_ended
            end = output.ring.end
            while position < end and (piece := output.ring.read(position)) is not None:
                dropped += piece.begin - position
                position = piece.end
                if piece.stream in sinks:
                    await sinks[piece.stream].send(piece.data)
                await trio.lowlevel.checkpoint()
            if last:
                break
            await _first(quiet.wait, partial(output.wait_beyond, position))
        nursery.cancel_scope.cancel()
    return dropped


async def _set_when_quiet(exec_: Exec, progress: Progress, quiet: trio.Event) -> None:
    await exec_.child.wait()
    due = progress.due()
    await trio.sleep(QUIET)
    await progress.reach(due)
    quiet.set()


async def _first(*waits: Callable[[], Awaitable[None]]) -> None:
    """Return as soon as one of them does."""
    async with trio.open_nursery() as nursery:

        async def until(wait: Callable[[], Awaitable[None]]) -> None:
            await wait()
            nursery.cancel_scope.cancel()

        for wait in waits:
            nursery.start_soon(until, wait)
