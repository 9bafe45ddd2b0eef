"""Writing to descriptors that belong to somebody else, without ever being held up by them.

Their O_NONBLOCK is not ours to set: it is shared with every process that has the same pipe
open. splice(2) has a flag of its own for that, and so have sockets.
"""

from __future__ import annotations

import os
import socket
import stat
from types import TracebackType
from typing import Self

import trio

# What a pipe holds by default (pipe(7)).
CHUNK = 65536


class Sink:
    """A pipe, FIFO or socket of a client, whose descriptor this owns. Raises OSError."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unread = False
        self._socket: socket.socket | None = None
        self._pipe: tuple[int, int] | None = None
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                self._socket = socket.socket(fileno=os.dup(descriptor))
            else:
                self._pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            os.close(descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        for descriptor in (*(self._pipe or ()), self._descriptor):
            os.close(descriptor)

    async def send(self, data: bytes) -> None:
        """Write all of it, as fast as it is read; nothing any more once nobody reads.

        Raises OSError.
        """
        view = memoryview(data)
        try:
            for begin in range(0, 0 if self._unread else len(view), CHUNK):
                await self._send_chunk(view[begin : begin + CHUNK])
        except (BrokenPipeError, ConnectionResetError):
            self._unread = True

    async def _send_chunk(self, chunk: memoryview) -> None:
        left = len(chunk)
        if self._pipe is not None:
            os.write(self._pipe[1], chunk)
        while left:
            try:
                left -= self._step(chunk[len(chunk) - left :])
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._descriptor)

    def _step(self, rest: memoryview) -> int:
        if self._socket is not None:
            return self._socket.send(rest, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        assert self._pipe is not None
        return os.splice(self._pipe[0], self._descriptor, len(rest), flags=os.SPLICE_F_NONBLOCK)
