"""The control socket's server: connections, calls, and answers.

A connection is a task that reads. What can be carried out at once it does itself, in the
very turn of the loop in which the call came; another task answers what has to wait. Nothing
a client sends, and nothing it stops reading, reaches beyond those two, and one that breaks
the rules is dropped.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog
import trio
from msgspec import Struct

from pyinit.errors import ProtocolError, PyinitError
from pyinit.init.faults import as_error_reply
from pyinit.varlink import scm, typed
from pyinit.varlink.connection import FAILED, IDLE, RAW, Server
from pyinit.varlink.envelope import Call, ErrorReply
from pyinit.varlink.framing import MAX_FDS

CHUNK = 65536
MAX_CONNECTIONS = 8192
# Where a client is told that it may not connect, and how long a full table waits (seconds).
PAUSE_WHEN_FULL = 0.1
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_UCRED = struct.Struct("3i")

log = structlog.get_logger("control")


class Peer(Struct, frozen=True):
    """Who connected, as SO_PEERCRED shows it; a pid from outside the namespace is 0."""

    pid: int
    uid: int
    gid: int


class Request:
    """One call, and the way to answer it."""

    def __init__(self, connection: Connection, call: Call) -> None:
        self._connection = connection
        self._call = call
        self._fds: list[int | None] = list(call.fds)
        self.peer = connection.peer
        self.more = call.more
        self.upgrade = call.upgrade

    def take_fd(self, index: int | None, field: str) -> int | None:
        """The descriptor that a parameter names, now the caller's to close.

        None for None. Raises ErrorReply where there is no such descriptor, or it was taken.
        """
        if index is None:
            return None
        if not 0 <= index < len(self._fds) or (found := self._fds[index]) is None:
            raise ErrorReply(
                "io.pyinit.Control.InvalidArgument",
                {"field": field, "reason": f"no descriptor {index} came with the message"},
            )
        self._fds[index] = None
        return found

    def close_unclaimed(self) -> None:
        """Close what nobody asked for."""
        for index, descriptor in enumerate(self._fds):
            if descriptor is not None:
                os.close(descriptor)
                self._fds[index] = None

    async def reply(
        self, parameters: Any = None, *, continues: bool = False, fds: tuple[int, ...] = ()
    ) -> None:
        """Answer. The last answer is the one that does not continue."""
        await self._connection.send_reply(parameters, continues=continues, fds=fds)

    def answer_later(self, abandon: Callable[[], None]) -> None:
        """Leave the call open: `answer` or `refuse` is called for it, from whatever task.

        `abandon` is called in their place when the client goes away before.
        """
        self._connection.leave_open(self._call, abandon)

    def answer(self, parameters: Any) -> None:
        """The answer to a call that was left open. Never waits, never raises."""
        self._connection.answer_open(parameters)

    def refuse(self, error: Exception) -> None:
        """The same, where it failed."""
        self._connection.refuse_open(error)

    async def raw_stream(self) -> RawStream:
        """The connection as plain bytes, after the answer to an `upgrade` call."""
        return await self._connection.raw_stream()


Handler = Callable[[Request, Any], Awaitable[None]]
Shortcut = Callable[[Request, Any], bool]


class Method(Struct, frozen=True):
    """What a method takes, and what carries it out.

    `at_once` is asked first, and may carry out the call without waiting: it then leaves the
    call open and says True. False means that it has done nothing.
    """

    parameters: type[Struct]
    handler: Handler
    at_once: Shortcut | None = None


class RawStream:
    """What an upgraded connection is: bytes in both directions."""

    def __init__(self, sock: socket.socket, rest: bytes) -> None:
        self._socket = sock
        self._rest = rest

    async def receive_some(self, size: int = CHUNK) -> bytes:
        """The next bytes; none at all at the end."""
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        while True:
            try:
                data, fds = scm.recv(self._socket, size, MAX_FDS)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._socket.fileno())
                continue
            for descriptor in fds:
                os.close(descriptor)
            return data

    async def hung_up(self) -> None:
        """Return once the other side takes nothing more, either."""
        await wait_for_hang_up(self._socket)

    async def send_all(self, data: bytes) -> None:
        """Write everything. Raises OSError when the other side is gone."""
        await send_all(self._socket, data)

    async def linger(self) -> None:
        """Nothing more is sent: return once the other side has closed the socket, too.

        What it sends until then is dropped. It may be writing what it can't know to be of no
        use any more, and to somebody like socat a broken pipe is the end: before it has passed
        on what came last.
        """
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while await self.receive_some():
                await trio.lowlevel.checkpoint()  # others have their turn, however much comes


class Connection:
    """One client: a task that reads, and one that answers while a call has to wait."""

    _nursery: trio.Nursery

    def __init__(self, sock: socket.socket, methods: Mapping[str, Method]) -> None:
        self._socket = sock
        self._methods = methods
        self._codec = Server(typed)
        self._reading = trio.CancelScope()
        self._read_over = trio.Event()
        # Whether a task answers, and nothing else may be written or begun.
        self._answering = False
        # The call that was left open, and what to do when the client goes away.
        self._open: tuple[Call, Callable[[], None]] | None = None
        self._gone = False
        self.peer = peer_of(sock)

    async def run(self) -> None:
        """Serve until the client goes away or breaks the rules."""
        try:
            async with trio.open_nursery() as self._nursery:
                try:
                    await self._read_calls()
                finally:
                    self._let_go()  # before the nursery closes: then nothing can be begun
        finally:
            for descriptor in self._codec.take_fds():
                os.close(descriptor)

    def _let_go(self) -> None:
        """Nobody is there to be answered any more."""
        self._gone = True
        if self._open is not None:
            (_, abandon), self._open = self._open, None
            abandon()

    async def _read_calls(self) -> None:
        try:
            with self._reading:
                await self._read()
        finally:
            self._read_over.set()

    async def _read(self) -> None:
        descriptor = self._socket.fileno()
        while True:
            await trio.lowlevel.wait_readable(descriptor)
            if self._codec.state == RAW:
                return
            try:
                data, fds = scm.recv(self._socket, CHUNK, MAX_FDS)
            except BlockingIOError:
                continue
            self._codec.feed(data, fds)
            self._take_up()
            if not data:
                break
        # A client may have shut down its sending side alone, and still await an answer.
        await wait_for_hang_up(self._socket)
        self._nursery.cancel_scope.cancel()

    def _take_up(self) -> None:
        """Begin what can be begun: one call at a time, in their order."""
        while not self._answering and (call := self._codec.next_call()) is not None:
            self._begin(call)
        if not self._answering and self._is_over():
            self._nursery.cancel_scope.cancel()

    def _is_over(self) -> bool:
        """Whether nothing more can be asked: no call is left, or the bytes are raw by now."""
        state = self._codec.state
        return state == RAW or (self._codec.ended and state == IDLE)

    def _begin(self, call: Call) -> None:
        request = Request(self, call)
        try:
            method = self._methods.get(call.method)
            if method is None:
                raise unknown_method(call.method, self._methods)
            parameters = typed.decode_parameters(call.parameters, method.parameters)
            if method.at_once is None or not method.at_once(request, parameters):
                self._answering = True
                self._nursery.start_soon(self._answer, call, request, method.handler, parameters)
                return
        except Exception as error:
            self._send(self._refusal(call, error))
        request.close_unclaimed()

    async def _answer(
        self, call: Call, request: Request, handler: Handler, parameters: Struct
    ) -> None:
        try:
            await handler(request, parameters)
            if call.oneway and self._open is None:
                self._codec.done()
        except Exception as error:
            await send_all(self._socket, self._refusal(call, error))
        finally:
            request.close_unclaimed()
        self._go_on()

    def _go_on(self) -> None:
        self._answering = False
        self._take_up()

    def _refusal(self, call: Call, error: Exception) -> bytes:
        """The last answer to a call that failed; none for one that wants no answer."""
        if not isinstance(error, (OSError, ProtocolError, PyinitError)):
            log.error("a method failed", method=call.method, exc_info=error)
        if call.oneway:
            self._codec.done()
            return b""
        answer = as_error_reply(error)
        return self._codec.error(answer.error, answer.parameters)

    async def send_reply(self, parameters: Any, *, continues: bool, fds: tuple[int, ...]) -> None:
        data = self._codec.reply(parameters, continues=continues, fds=len(fds))
        await send_all(self._socket, data, fds)

    def leave_open(self, call: Call, abandon: Callable[[], None]) -> None:
        if self._gone:
            abandon()
        else:
            self._open = (call, abandon)

    def answer_open(self, parameters: Any) -> None:
        if (call := self._close()) is None:
            return
        if call.oneway:
            self._codec.done()
        else:
            self._send(self._codec.reply(parameters))
        self._look_on()

    def refuse_open(self, error: Exception) -> None:
        if (call := self._close()) is not None:
            self._send(self._refusal(call, error))
            self._look_on()

    def _close(self) -> Call | None:
        """The open call, if it can still be answered: the client may be on its way out."""
        if self._open is None or self._codec.state == FAILED:
            return None
        (call, _), self._open = self._open, None
        return call

    def _send(self, data: bytes) -> None:
        """Send an answer; what the socket does not take now is for a task."""
        try:
            sent = self._socket.send(data, scm.SEND_FLAGS)
        except OSError:
            sent = 0  # full, or gone: sending the rest will tell
        if sent < len(data):
            self._leave_to_task(data[sent:])

    def _look_on(self) -> None:
        """An open call was answered, by whoever: what came behind it is for a task of ours."""
        if not self._answering and (self._codec.waiting or self._is_over()):
            self._leave_to_task(b"")

    def _leave_to_task(self, data: bytes) -> None:
        """Have the rest sent, and what came behind taken up."""
        self._answering = True
        self._nursery.start_soon(self._send_rest, data)

    async def _send_rest(self, data: bytes) -> None:
        await send_all(self._socket, data)
        self._go_on()

    async def raw_stream(self) -> RawStream:
        self._reading.cancel()
        await self._read_over.wait()
        return RawStream(self._socket, self._codec.take_rest())


async def send_all(sock: socket.socket, data: bytes, fds: tuple[int, ...] = ()) -> None:
    """Send everything, the descriptors with the first byte."""
    view = memoryview(data)
    while view:
        try:
            sent = sock.sendmsg([view], scm.pack(fds), scm.SEND_FLAGS)
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock.fileno())
            continue
        view, fds = view[sent:], ()


async def wait_for_hang_up(sock: socket.socket) -> None:
    """Return once the other side has closed the socket in both directions.

    epoll reports EPOLLHUP without being asked, and nothing else when asked for nothing.
    """
    with select.epoll(1) as hang_up:
        hang_up.register(sock.fileno(), 0)
        if not hang_up.poll(0):  # mostly it has: then what it held is free for the next client
            await trio.lowlevel.wait_readable(hang_up.fileno())


def peer_of(sock: socket.socket) -> Peer:
    """Who is at the other end, unix(7)."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Peer(*_UCRED.unpack(data))


def unknown_method(name: str, methods: Mapping[str, Method]) -> ErrorReply:
    """Which of the two it is that does not exist: the interface or the method."""
    interface = name.rpartition(".")[0]
    if any(known.rpartition(".")[0] == interface for known in methods):
        return ErrorReply("org.varlink.service.MethodNotFound", {"method": name})
    return ErrorReply("org.varlink.service.InterfaceNotFound", {"interface": interface})


async def serve(listener: socket.socket, methods: Mapping[str, Method]) -> None:
    """Accept connections for ever, on a listening socket that does not block."""
    async with trio.open_nursery() as nursery:
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                await trio.lowlevel.wait_readable(listener.fileno())
                continue
            except OSError as error:
                if error.errno not in _NO_DESCRIPTOR:
                    log.warning("accept failed", error=error.strerror)
                await trio.sleep(PAUSE_WHEN_FULL)
                continue
            if len(nursery.child_tasks) >= MAX_CONNECTIONS:
                sock.close()
                continue
            sock.setblocking(False)
            nursery.start_soon(_serve_one, sock, methods)


async def _serve_one(sock: socket.socket, methods: Mapping[str, Method]) -> None:
    with sock:
        try:
            await Connection(sock, methods).run()
        except* ProtocolError as group:
            log.warning("dropped a client", reason=str(group.exceptions[0]))
        except* OSError:
            pass  # it went away while it was being written to
        except* Exception:
            log.exception("a connection failed")
