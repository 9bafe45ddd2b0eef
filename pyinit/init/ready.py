"""How PID 1 tells its maker that the container can be attached to, or why not.

One message on a SEQPACKET socket; with a terminal, the master of its pty comes with it.
"""

from __future__ import annotations

from array import array

import msgspec
from msgspec import Struct

from pyinit.errors import PyinitError
from pyinit.linux import sockets as socket


class Ready(Struct, frozen=True, omit_defaults=True):
    """The message. `error` is empty when all is well; `status` the exit status to end with."""

    error: str = ""
    status: int = 0


class ReadyChannel:
    """Says one thing, once; nothing where nobody listens."""

    def __init__(self, descriptor: int | None) -> None:
        self._socket = None if descriptor is None else socket.socket(fileno=descriptor)

    def ready(self, master: int | None = None) -> None:
        self._say(Ready(), master)

    def failed(self, error: BaseException) -> None:
        text = str(error) if isinstance(error, (PyinitError, OSError)) else repr(error)
        self._say(Ready(text or repr(error), getattr(error, "status", 125)))

    def _say(self, message: Ready, master: int | None = None) -> None:
        if self._socket is None:
            return
        rights = [] if master is None else [_rights(master)]
        try:
            with self._socket as channel:
                channel.sendmsg([msgspec.json.encode(message)], rights, socket.MSG_NOSIGNAL)
        except OSError:
            pass  # whoever made us has gone; the container lives on
        self._socket = None


def _rights(descriptor: int) -> tuple[int, int, array[int]]:
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor])


def receive(channel: socket.socket) -> tuple[Ready, int | None]:
    """The maker's side: the message and the pty's master. Blocks.

    A channel that ends without a message means that init died: Ready says so.
    """
    data, ancillary, _, _ = channel.recvmsg(65536, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for _level, _kind, content in ancillary:
        descriptors.frombytes(content)
    if not data:
        return Ready("init ended before the container was ready", 125), None
    return msgspec.json.decode(data, type=Ready), descriptors[0] if descriptors else None
