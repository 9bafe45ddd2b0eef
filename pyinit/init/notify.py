"""Where services say that they are ready: sd_notify's socket, and s6's descriptor."""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Callable, Iterator

import trio

from pyinit.init.notify_message import Message, parse

# systemd's own limit; what is longer is cut.
_LARGEST = 4096
_CREDENTIALS = struct.Struct("3i")
_ROOM = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(16 * array.array("i").itemsize)
# After so many in one go other tasks get their turn.
_BATCH = 64


class NotifySocket:
    """A datagram socket of one service, at `path`, open to whatever user it runs as.

    Who may use it is decided by the sender's pid, which the kernel adds to each message.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._bind()
        except OSError:
            self._socket.close()
            raise

    def _bind(self) -> None:
        _unlink(self.path)
        before = os.umask(0o111)
        try:
            self._socket.bind(self.path)
        finally:
            os.umask(before)

    def close(self) -> None:
        self._socket.close()
        _unlink(self.path)

    async def serve(self, receive: Callable[[Message], None]) -> None:
        """Hand on every message, until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._socket.fileno())
            self.drain(receive)
            await trio.lowlevel.checkpoint()

    def drain(self, receive: Callable[[Message], None]) -> None:
        """Hand on what has come, at most `_BATCH` messages."""
        for message in self._messages():
            receive(message)

    def _messages(self) -> Iterator[Message]:
        for _ in range(_BATCH):
            try:
                data, ancillary, _, _ = self._socket.recvmsg(
                    _LARGEST, _ROOM, socket.MSG_CMSG_CLOEXEC
                )
            except (BlockingIOError, InterruptedError):
                return
            pid = _sender(ancillary)
            if pid:
                yield Message(pid, parse(data))


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The sender's pid, 0 when it has none here. Descriptors are closed: a BARRIER=1 waits
    for just that, and a store of descriptors is not offered."""
    pid = 0
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid = _CREDENTIALS.unpack(data)[0]
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers = array.array("i")
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
            for number in numbers:
                os.close(number)
    return pid


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        # Not there, or not ours to remove: bind(2) will tell.
        return


async def wait_for_newline(descriptor: int) -> bool:
    """Whether a newline comes before the end, as s6's notification-fd has it."""
    while True:
        await trio.lowlevel.wait_readable(descriptor)
        try:
            data = os.read(descriptor, _LARGEST)
        except BlockingIOError:
            continue
        if not data:
            return False
        if b"\n" in data:
            return True
