"""What the maker and PID 1 say to each other before the container is ready."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from pyinit.linux import sockets as socket

# The kernel takes so many descriptors with one message (SCM_MAX_FD).
MOST = 253
DONE = b"done"


def send_go(channel: socket.socket, trees: Mapping[str, int]) -> None:
    """Let PID 1 go on, with descriptors by name. Raises OSError where it has gone."""
    rights = array("i", trees.values())
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
    channel.sendmsg([b"go " + "\0".join(trees).encode()], ancillary, socket.MSG_NOSIGNAL)


def receive_message(channel: socket.socket) -> tuple[bytes, list[int]]:
    """One message and its descriptors; nothing at all once the other side has gone."""
    data, ancillary, _, _ = channel.recvmsg(
        1 << 18, socket.CMSG_SPACE(4 * MOST), socket.MSG_CMSG_CLOEXEC
    )
    descriptors = array("i")
    for _level, _kind, content in ancillary:
        descriptors.frombytes(content)
    return data, list(descriptors)
