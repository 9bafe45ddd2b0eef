"""A connection to a control socket under trio: the same codec, other I/O."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import trio

from pyinit.errors import ConnectionLost
from pyinit.varlink import lean_json, scm
from pyinit.varlink.connection import IDLE, Client
from pyinit.varlink.envelope import Reply
from pyinit.varlink.framing import MAX_FDS
from pyinit_ctl import registry
from pyinit_ctl.failures import failure
from pyinit_ctl.registry import Target
from pyinit_ctl.replies import INTERFACE

_CHUNK = 1 << 16

# Between attempts when the init's queue of connections is full, in seconds.
_PAUSE = 0.01


class TrioLink:
    """Calls out, replies in, for one task at a time. Owns the socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._client = Client(lean_json)

    @classmethod
    async def connect(cls, target: Target) -> TrioLink:
        """Raises NotFound, SystemFault."""
        while True:
            await trio.lowlevel.checkpoint()
            try:
                raw = registry.connect(target, blocking=False)
            except BlockingIOError:
                await trio.sleep(_PAUSE)
                continue
            return cls(socket.socket(fileno=raw.detach()))

    def close(self) -> None:
        """Close the socket, and what was received and not handed out."""
        scm.close_all(self._client.take_fds())
        self._socket.close()

    def is_reusable(self) -> bool:
        """Whether another call can go this way: nothing is unanswered, and the init is there."""
        if self._client.state != IDLE:
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # its end, or something nobody asked for

    async def send(
        self,
        method: str,
        parameters: Mapping[str, Any],
        *,
        more: bool = False,
        fds: Sequence[int] = (),
    ) -> None:
        """Make a call; a `method` without a dot is one of io.pyinit.Control.

        Cancelled half-way, the connection is of no more use: close it.
        """
        name = method if "." in method else f"{INTERFACE}.{method}"
        message = memoryview(self._client.call(name, dict(parameters), more=more, fds=len(fds)))
        while message:
            try:
                sent = self._socket.sendmsg([message], scm.pack(fds), scm.SEND_FLAGS)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
                continue
            except OSError as error:
                raise _lost(error) from None
            message, fds = message[sent:], ()

    async def receive(self) -> Reply:
        """The next reply, which is no error; its descriptors are the caller's to close."""
        if (reply := self._client.next_reply()) is not None:
            await trio.lowlevel.checkpoint()
        while reply is None:
            try:
                data, fds = scm.recv(self._socket, _CHUNK, MAX_FDS)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._socket)
                continue
            except OSError as error:
                raise _lost(error) from None
            self._client.feed(data, fds)
            reply = self._client.next_reply()
        if reply.error is not None:
            scm.close_all(reply.fds)
            raise failure(reply.error, reply.parameters)
        return reply


def _lost(error: OSError) -> ConnectionLost:
    return ConnectionLost(f"the connection to the container broke: {error.strerror}")
