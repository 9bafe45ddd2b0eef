"""Descriptors through a UNIX socket: SCM_RIGHTS, as in unix(7) and cmsg(3).

The only module here that touches a socket. It takes any object with `recvmsg`, `sendmsg` and
`send` (that of `_socket` is enough), and holds the parts that need no I/O for trio's sockets:

    received = await sock.recvmsg(size, scm.space(max_fds), scm.RECEIVE_FLAGS)
    data, fds = scm.unpack(received)
    sent = await sock.sendmsg([data], scm.pack(fds), scm.SEND_FLAGS)
"""

from __future__ import annotations

from _socket import (
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_NOSIGNAL,
    SCM_RIGHTS,
    SOL_SOCKET,
)
from posix import close
from sys import byteorder

from pyinit.errors import ProtocolError
from pyinit.varlink.framing import MAX_FDS

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Protocol

    Ancillary = list[tuple[int, int, bytes]]

    class Receiver(Protocol):
        def recvmsg(self, size: int, space: int, flags: int, /) -> tuple[Any, Any, int, Any]: ...

    class Sender(Protocol):
        def send(self, data: Any, flags: int, /) -> int: ...
        def sendmsg(self, buffers: Any, ancillary: Any, flags: int, /) -> int: ...


RECEIVE_FLAGS: int = MSG_CMSG_CLOEXEC
SEND_FLAGS: int = MSG_NOSIGNAL

_INT = 4  # bytes of a C int, on every architecture that Linux runs on


def pack(fds: Sequence[int]) -> Ancillary:
    """The ancillary data that passes `fds`, for sendmsg; none at all for no descriptors."""
    if not fds:
        return []
    payload = b"".join(fd.to_bytes(_INT, byteorder) for fd in fds)
    return [(SOL_SOCKET, SCM_RIGHTS, payload)]


def space(max_fds: int = MAX_FDS) -> int:
    """The room for ancillary data that recvmsg needs for `max_fds` descriptors."""
    return CMSG_SPACE(max_fds * _INT)


def unpack(received: tuple[bytes, Ancillary, int, object]) -> tuple[bytes, list[int]]:
    """The bytes and descriptors of what recvmsg returned.

    Raises ProtocolError, all descriptors closed, if some were lost: more were sent than there
    was room for, or this process may open no more (the kernel tells both by MSG_CTRUNC).
    """
    data, ancillary, flags, _ = received
    fds = [fd for level, kind, payload in ancillary for fd in _rights(level, kind, payload)]
    if flags & MSG_CTRUNC:
        close_all(fds)
        raise ProtocolError(
            "descriptors were lost on the way: too many in one message, "
            "or no descriptor is free in this process"
        )
    return data, fds


def recv(sock: Receiver, size: int, max_fds: int = MAX_FDS) -> tuple[bytes, list[int]]:
    """One read: at most `size` bytes, and the descriptors that came with them, close-on-exec.

    No bytes at all mean the end. Raises OSError, and ProtocolError as `unpack` does.
    """
    return unpack(sock.recvmsg(size, space(max_fds), RECEIVE_FLAGS))


def send(sock: Sender, data: bytes, fds: Sequence[int] = ()) -> None:
    """Send all of `data` on a blocking socket, `fds` with its first byte.

    Raises OSError; a peer that is gone is EPIPE or ECONNRESET, never a signal.
    """
    sent = sock.sendmsg([data], pack(fds), SEND_FLAGS) if fds else 0
    rest = memoryview(data)[sent:]
    while rest:
        rest = rest[sock.send(rest, SEND_FLAGS) :]


def close_all(fds: Iterable[int]) -> None:
    """Close each descriptor, also when closing one fails."""
    for fd in fds:
        try:
            close(fd)
        except OSError:
            continue  # Linux has let go of the number all the same: close(2)


def _rights(level: int, kind: int, payload: bytes) -> list[int]:
    if (level, kind) != (SOL_SOCKET, SCM_RIGHTS):
        return []
    whole = len(payload) - len(payload) % _INT
    return memoryview(payload)[:whole].cast("i").tolist()
