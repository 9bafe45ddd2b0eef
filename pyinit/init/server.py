"""The control socket's server: connections, calls, and answers, one task pair a connection.

Nothing a client sends, and nothing it stops reading, reaches beyond its own tasks: a slow
or silent one costs those two, and one that breaks the rules is dropped.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
import trio
from msgspec import Struct

from pyinit.errors import ProtocolError, PyinitError
from pyinit.init.faults import as_error_reply
from pyinit.varlink import scm, typed
from pyinit.varlink.connection import RAW, Server
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

    def reply_at_once(self, parameters: Any) -> bytes:
        """Give the last answer without waiting; what the socket did not take is for `send_rest`.

        For whoever has the answer while no task of ours runs.
        """
        return self._connection.reply_at_once(parameters)

    async def send_rest(self, data: bytes) -> None:
        """Send what `reply_at_once` left."""
        await self._connection.send_rest(data)

    async def raw_stream(self) -> RawStream:
        """The connection as plain bytes, after the answer to an `upgrade` call."""
        return await self._connection.raw_stream()


Handler = Callable[[Request, Any], Awaitable[None]]


class Method(Struct, frozen=True):
    """What a method takes, and what carries it out."""

    parameters: type[Struct]
    handler: Handler


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


class Connection:
    """One client: a task that reads, and one that answers its calls in their order."""

    def __init__(self, sock: socket.socket, methods: Mapping[str, Method]) -> None:
        self._socket = sock
        self._methods = methods
        self._codec = Server(typed)
        self._input = trio.Event()
        self._reading = trio.CancelScope()
        self._read_over = trio.Event()
        self.peer = peer_of(sock)

    async def run(self) -> None:
        """Serve until the client goes away or breaks the rules."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_calls, nursery.cancel_scope)
                await self._answer_calls()
                nursery.cancel_scope.cancel()
        finally:
            for descriptor in self._codec.take_fds():
                os.close(descriptor)

    async def _read_calls(self, everything: trio.CancelScope) -> None:
        try:
            with self._reading:
                await self._read(everything)
        finally:
            self._read_over.set()

    async def _read(self, everything: trio.CancelScope) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._socket.fileno())
            if self._codec.state == RAW:
                return
            try:
                data, fds = scm.recv(self._socket, CHUNK, MAX_FDS)
            except BlockingIOError:
                continue
            self._codec.feed(data, fds)
            self._input.set()
            if not data:
                break
        # A client may have shut down its sending side alone, and still await an answer.
        await wait_for_hang_up(self._socket)
        everything.cancel()

    async def _answer_calls(self) -> None:
        while self._codec.state != RAW:
            self._input = trio.Event()
            call = self._codec.next_call()
            if call is not None:
                await self._answer(call)
            elif self._codec.ended:
                return
            else:
                await self._input.wait()

    async def _answer(self, call: Call) -> None:
        request = Request(self, call)
        try:
            method = self._methods.get(call.method)
            if method is None:
                raise unknown_method(call.method, self._methods)
            await method.handler(
                request, typed.decode_parameters(call.parameters, method.parameters)
            )
            if call.oneway:
                self._codec.done()
        except (OSError, ProtocolError, PyinitError) as error:
            await self._refuse(call, error)
        except Exception as error:
            log.exception("a method failed", method=call.method)
            await self._refuse(call, error)
        finally:
            request.close_unclaimed()

    async def _refuse(self, call: Call, error: Exception) -> None:
        if call.oneway:
            self._codec.done()
            return
        answer = as_error_reply(error)
        await send_all(self._socket, self._codec.error(answer.error, answer.parameters))

    async def send_reply(self, parameters: Any, *, continues: bool, fds: tuple[int, ...]) -> None:
        data = self._codec.reply(parameters, continues=continues, fds=len(fds))
        await send_all(self._socket, data, fds)

    def reply_at_once(self, parameters: Any) -> bytes:
        data = self._codec.reply(parameters)
        try:
            sent = self._socket.send(data, scm.SEND_FLAGS)
        except OSError:
            return data  # full, or gone: sending the rest will tell
        return data[sent:]

    async def send_rest(self, data: bytes) -> None:
        await send_all(self._socket, data)

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
