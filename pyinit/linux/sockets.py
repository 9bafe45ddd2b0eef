"""Sockets as the module `socket` has them, without its enums: they take 5 ms to be made.

For what is loaded on the way to a container's first process.
"""

from __future__ import annotations

import _socket
from _socket import (
    AF_INET,
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_NOSIGNAL,
    MSG_PEEK,
    SCM_RIGHTS,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
)

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "AF_INET",
    "AF_UNIX",
    "CMSG_SPACE",
    "MSG_CMSG_CLOEXEC",
    "MSG_NOSIGNAL",
    "MSG_PEEK",
    "SCM_RIGHTS",
    "SOCK_CLOEXEC",
    "SOCK_DGRAM",
    "SOCK_NONBLOCK",
    "SOCK_SEQPACKET",
    "SOCK_STREAM",
    "SOL_SOCKET",
    "socket",
    "socketpair",
]


class socket(_socket.socket):  # noqa: N801
    """A socket, close-on-exec, that is closed where a `with` ends."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def socketpair(family: int, kind: int) -> tuple[socket, socket]:
    """Two that are connected to each other, socketpair(2). Raises OSError."""
    one, other = _socket.socketpair(family, kind)
    return socket(fileno=one.detach()), socket(fileno=other.detach())
