"""ExecStream: an exec over the connection itself, in frames, with no descriptor passed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import msgspec
import trio
from msgspec import Struct

from pyinit.errors import PyinitError
from pyinit.init.api.container import signal_number
from pyinit.init.api.exec_calls import CommandCall, Identity, TerminalCall, user_of
from pyinit.init.api.execs import begin, ending_with_connection, require_room
from pyinit.init.container import Container
from pyinit.init.execs import Exec
from pyinit.init.faults import InvalidArgument, as_error_reply
from pyinit.init.outputs import read_some
from pyinit.init.progress import Progress
from pyinit.init.server import Method, RawStream, Request
from pyinit.init.terminal import set_size
from pyinit.spec.status import ExitStatus
from pyinit.varlink import stream

CHUNK = 65536
# After the command's end its output may be held open by what it left behind. What is there
# by then is still sent; for more, the wait is so long in all (seconds), or for so many bytes.
QUIET = 0.3
MOST_LEFT = 2 * CHUNK
END_OF_FILE = b"\x04"


class ExecStreamCall(Struct, frozen=True, forbid_unknown_fields=True):
    command: CommandCall
    id: Identity | None = None
    stdin: bool | None = None
    terminal: TerminalCall | None = None


class ExecStreamReply(Struct, frozen=True):
    id: str
    pid: int


class Exit(Struct, frozen=True, omit_defaults=True):
    """What an EXIT frame carries, in JSON."""

    status: ExitStatus
    timed_out: bool = False


class StreamMethods:
    """ExecStream."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def methods(self) -> dict[str, Method]:
        return {"ExecStream": Method(ExecStreamCall, self.exec_stream)}

    async def exec_stream(self, request: Request, call: ExecStreamCall) -> None:
        if not request.upgrade:
            raise InvalidArgument("upgrade", "call ExecStream with upgrade, to have the stream")
        require_room(self._container, call.id)
        with ExitStack() as stack:
            session = _begin(stack, self._container, request, call)
            with ending_with_connection(self._container, session.exec):
                pid = await session.exec.child.started()
                await request.reply(ExecStreamReply(session.exec.id, pid))
                raw = await request.raw_stream()
                await self._converse(session, raw)
        await raw.linger()

    async def _converse(self, session: Session, raw: RawStream) -> None:
        """The frames, to the end of the exec, or of the stream: with that the exec ends, too."""
        errors: list[Exception] = []
        try:
            await session.run(raw)
        except* (OSError, PyinitError) as group:
            errors = [each for each in flat(group) if isinstance(each, PyinitError)]
            if session.exec.detached:
                session.leave()
            else:
                self._container.execs.end(session.exec)
        for error in errors[:1]:
            answer = as_error_reply(error)
            content = {"error": answer.error, "parameters": answer.parameters}
            with suppress(OSError):
                await raw.send_all(stream.encode(stream.ERROR, msgspec.json.encode(content)))


def flat(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The exceptions of a group and of the groups in it."""
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from flat(each)
        else:
            yield each


def _begin(
    stack: ExitStack, container: Container, request: Request, call: ExecStreamCall
) -> Session:
    """Start the command with pipes of ours, or a terminal. Raises what that raises.

    `stack` closes what this side of them is.
    """
    with ExitStack() as undo:
        if call.terminal is None:
            session, stdio = _with_pipes(stack, undo, container, reads=bool(call.stdin))
            term = None
        else:
            session, slave = _with_terminal(stack, undo, container, call, call.terminal)
            stdio, term = (slave, slave, slave), call.terminal.term or "xterm"
        given = set(stdio) - {container.devnull}
        session.exec = begin(
            container, request, call.command, stdio, given, identity=call.id, terminal=term
        )
        undo.pop_all()  # the command's side is the exec's from here on
    session.exec.master = None if session.master is None else os.dup(session.master)
    return session


def _with_terminal(
    stack: ExitStack,
    undo: ExitStack,
    container: Container,
    call: ExecStreamCall,
    size: TerminalCall,
) -> tuple[Session, int]:
    owner = user_of(container, call.command).uid
    master, slave = container.terminals.open(size.rows, size.columns, owner)
    stack.callback(os.close, master)
    undo.callback(os.close, slave)
    session = Session(container, {stream.STDOUT: master}, master)
    stack.callback(session.close_input)
    if call.stdin:
        session.stdin = os.dup(master)
    os.set_blocking(master, False)
    return session, slave


def _with_pipes(
    stack: ExitStack, undo: ExitStack, container: Container, *, reads: bool
) -> tuple[Session, tuple[int, int, int]]:
    theirs = []
    outputs = {}
    for kind in (stream.STDOUT, stream.STDERR):
        reading, writing = os.pipe2(os.O_CLOEXEC)
        stack.callback(os.close, reading)
        undo.callback(os.close, writing)
        os.set_blocking(reading, False)
        outputs[kind] = reading
        theirs.append(writing)
    session = Session(container, outputs)
    stack.callback(session.close_input)
    stdin = container.devnull
    if reads:
        stdin, session.stdin = os.pipe2(os.O_CLOEXEC)
        undo.callback(os.close, stdin)
        os.set_blocking(session.stdin, False)
    return session, (stdin, theirs[0], theirs[1])


class Session:
    """The two directions of one stream. `outputs` are the descriptors to read, by kind."""

    exec: Exec

    def __init__(
        self, container: Container, outputs: dict[int, int], master: int | None = None
    ) -> None:
        self._container = container
        self._outputs = outputs
        self._progress = Progress()
        for descriptor in outputs.values():
            self._progress.begin(descriptor)
        self._frames = stream.ServerStream()
        self._pending = bytearray()
        self._input_ended = False
        self._input = trio.Event()
        self._sending = trio.Lock()
        self.master = master
        self.stdin = -1

    async def run(self, raw: RawStream) -> None:
        """Until the command has ended and its output is sent. Raises OSError, ProtocolError."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive, raw)
            nursery.start_soon(self._feed, raw)
            for kind, descriptor in self._outputs.items():
                nursery.start_soon(self._send_output, raw, kind, descriptor)
            status = await self.exec.wait()
            await self._drained()
            async with self._sending:  # no frame is cut in two
                nursery.cancel_scope.cancel()
        content = msgspec.json.encode(Exit(status, self.exec.timed_out))
        await raw.send_all(stream.encode(stream.EXIT, content))

    def leave(self) -> None:
        """The connection is lost, and the exec detached: its output is kept from now on."""
        execs = self._container.execs
        if self.exec.output is None and self.exec.status is None:
            output = execs.keep_output(self.exec)
            for kind, descriptor in self._outputs.items():
                if descriptor in self._progress:
                    output.drain(os.dup(descriptor), kind)

    async def _receive(self, raw: RawStream) -> None:
        while data := await raw.receive_some():
            for kind, payload in self._frames.feed(data):
                self._act(kind, payload)
            await trio.lowlevel.checkpoint()  # others have their turn, however much comes
        self._frames.end()
        if not self.exec.detached:  # it goes on without us: nobody has typed its end
            self._end_input()
        await raw.hung_up()
        raise ConnectionResetError("the client has gone")

    def _act(self, kind: int, payload: bytes) -> None:
        if kind == stream.SIGNAL:
            number = signal_number(stream.decode_signal(payload))
            self._container.execs.signal(self.exec, number)
        elif kind == stream.RESIZE:
            size = stream.decode_size(payload)
            if self.master is not None:
                set_size(self.master, *size)
        elif not payload:
            self._end_input()
        else:
            self._pending += payload
            self._input.set()

    def _end_input(self) -> None:
        if not self._input_ended:
            self._input_ended = True
            if self.master is not None:
                self._pending += END_OF_FILE
            self._input.set()

    async def _feed(self, raw: RawStream) -> None:
        """Standard input, as fast as the command reads it, and leave to send as much again."""
        while self._pending or not self._input_ended:
            if not self._pending:
                self._input = trio.Event()
                await self._input.wait()
                continue
            written = await self._write(bytes(self._pending[:CHUNK]))
            del self._pending[:written]
            await self._send(raw, self._frames.grant(written))
        self.close_input()

    async def _write(self, data: bytes) -> int:
        """How many bytes of it are gone: all, where the command reads no more, or never did."""
        while self.stdin >= 0:
            try:
                return os.write(self.stdin, data)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self.stdin)
            except OSError:
                break
        return len(data)

    def close_input(self) -> None:
        """The command sees the end of its input."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    async def _send_output(self, raw: RawStream, kind: int, descriptor: int) -> None:
        while data := await read_some(descriptor):
            # Counted before it is sent: whoever waits for it takes the lock after we do.
            self._progress.advance(descriptor, len(data))
            await self._send(raw, stream.encode(kind, data))
        await self._send(raw, stream.encode(kind))
        self._progress.end(descriptor)

    async def _send(self, raw: RawStream, data: bytes) -> None:
        async with self._sending:
            await raw.send_all(data)

    async def _drained(self) -> None:
        """Return once both outputs have ended, or all is read that the command left in them.

        What comes after that is waited for QUIET seconds in all, the time not counted that a
        slow reader takes, or until it is MOST_LEFT bytes.
        """
        due = self._progress.due()
        most = self._progress.total + MOST_LEFT
        left = QUIET
        while self._progress and left > 0 and self._progress.total < most:
            busy, begun = self._sending.locked(), trio.current_time()
            with trio.move_on_after(left):
                await self._progress.changed()
            left -= 0 if busy else trio.current_time() - begun
        await self._progress.reach(due)
