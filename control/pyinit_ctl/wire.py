"""A blocking connection to a control socket, of C builtins and the codec alone."""

from __future__ import annotations

from pyinit.errors import ConnectionLost, ProtocolError
from pyinit.varlink import lean_json, scm
from pyinit.varlink.connection import Client
from pyinit_ctl.replies import INTERFACE

TYPE_CHECKING = False

if TYPE_CHECKING:
    import _socket
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol, Self

    from pyinit.varlink.envelope import Reply

    class Awaited(Protocol):
        """What a relay waits for: readable when there is news, which `pull` then has."""

        def fileno(self) -> int: ...
        def read(self) -> None: ...
        def pull(self) -> Reply | None: ...


_CHUNK = 1 << 16


class Link:
    """Calls out, replies in. Owns the socket; close it, or use it in a `with`."""

    __slots__ = ("_client", "_socket")

    def __init__(self, connected: _socket.socket) -> None:
        self._socket = connected
        self._client = Client(lean_json)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def set_timeout(self, seconds: float | None) -> None:
        """How long each read or write may wait; ConnectionLost when it was longer."""
        self._socket.settimeout(seconds)

    def send(
        self,
        method: str,
        parameters: Mapping[str, Any],
        *,
        more: bool = False,
        upgrade: bool = False,
        fds: Sequence[int] = (),
    ) -> None:
        """Make a call; a `method` without a dot is one of io.pyinit.Control.

        Raises UsageError for what can't be sent, ConnectionLost.
        """
        name = method if "." in method else f"{INTERFACE}.{method}"
        message = self._client.call(
            name, dict(parameters), more=more, upgrade=upgrade, fds=len(fds)
        )
        try:
            scm.send(self._socket, message, fds)
        except OSError as error:
            raise ConnectionLost(f"the connection to the container broke: {error}") from None

    def receive(self) -> Reply:
        """The next reply, which is no error; its descriptors are the caller's to close.

        Raises what the container's error stands for, ConnectionLost, ProtocolError.
        """
        while (reply := self.pull()) is None:
            self.read()
        return reply

    def pull(self) -> Reply | None:
        """The next reply if it is here already; None before that. Raises as `receive` does.

        Ask before each wait for the socket: one read may bring several replies.
        """
        try:
            reply = self._client.next_reply()
        except ProtocolError:
            scm.close_all(self._client.take_fds())
            raise
        return None if reply is None else _checked(reply)

    def read(self) -> None:
        """Take in what has come, waiting for something if nothing has."""
        try:
            data, fds = scm.recv(self._socket, _CHUNK)
            self._client.feed(data, fds)
        except OSError as error:
            raise ConnectionLost(f"the connection to the container broke: {error}") from None
        except ProtocolError:
            scm.close_all(self._client.take_fds())
            raise

    def upgraded(self) -> tuple[_socket.socket, bytes]:
        """After the reply to an upgrade: the socket, and what was read behind that reply."""
        return self._socket, self._client.take_rest()

    def call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """A call with one reply and no descriptors either way: the reply's parameters."""
        self.send(method, parameters)
        reply = self.receive()
        scm.close_all(reply.fds)
        parameters_of_reply: dict[str, Any] = reply.parameters
        return parameters_of_reply


def _checked(reply: Reply) -> Reply:
    if reply.error is None:
        return reply
    scm.close_all(reply.fds)
    from pyinit_ctl.failures import failure  # not on the way of an exec that goes well

    raise failure(reply.error, reply.parameters)
