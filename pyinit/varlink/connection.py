"""The rules of a Varlink connection: who may say what, when. No I/O.

Rules
-----
1. Calls are answered one at a time, in the order they came. A client may send several before
   the first is answered; the server keeps the bytes of the others until their turn.
2. A call gets exactly one final reply or error. Before it, and only if the call said `more`,
   may come replies that say `continues`. A `oneway` call gets nothing.
3. A `more` call owns the connection: the client sends it when nothing else is unanswered, and
   sends nothing until the final reply.
4. An `upgrade` call likewise; after its reply (not after an error) the connection carries raw
   bytes, and what was received beyond that reply is handed back by `take_rest`.
5. A call with descriptors is sent when nothing is unanswered and nothing oneway was sent
   since the last reply. Descriptors go back with the first reply to a call that was not
   queued behind another. See `framing` for why.
6. A connection that ends before a final reply is ConnectionLost, never a success. A reply
   that nobody awaits is a ProtocolError.
7. After an error of the peer the connection is of no more use: every further call on the
   object raises. The owner closes what `take_fds` returns.

The tables below say which event is allowed in which state. What the peer does against them
raises ProtocolError; what the owner of the object does against them, UsageError.
"""

from __future__ import annotations

from pyinit.errors import ConnectionLost, ProtocolError, PyinitError, UsageError
from pyinit.varlink.envelope import Call, Reply, build_call, build_error, build_reply
from pyinit.varlink.framing import MAX_FDS, MESSAGE_LIMIT, Frame, Framer

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn, Protocol

    class Codec(Protocol):
        """How envelopes become bytes and back: the module `lean_json` or `typed`."""

        def encode(self, envelope: dict[str, Any]) -> bytes: ...
        def decode_call(self, data: bytes) -> Call: ...
        def decode_reply(self, data: bytes) -> Reply: ...


# States
IDLE = "idle"
ANSWERING = "answering a call"  # server: owes one reply; client: awaits one or more
STREAMING = "in the replies to a 'more' call"
ONEWAY = "at a oneway call"
UPGRADING = "answering an upgrade"
RAW = "upgraded to raw bytes"
FAILED = "broken"

# Events
PLAIN_CALL = "a call"
MORE_CALL = "a 'more' call"
ONEWAY_CALL = "a oneway call"
UPGRADE_CALL = "an upgrade call"
CONTINUES = "a reply that continues"
REPLY = "a final reply"
LAST_REPLY = "the final reply to the last call"
ERROR = "an error reply"
DONE = "the end of a oneway call"

_ENDS_STREAM = {CONTINUES: STREAMING, REPLY: IDLE, ERROR: IDLE}
_ENDS_UPGRADE = {REPLY: RAW, ERROR: IDLE}

SERVER: dict[str, dict[str, str]] = {
    IDLE: {
        PLAIN_CALL: ANSWERING,
        MORE_CALL: STREAMING,
        ONEWAY_CALL: ONEWAY,
        UPGRADE_CALL: UPGRADING,
    },
    ANSWERING: {REPLY: IDLE, ERROR: IDLE},
    STREAMING: _ENDS_STREAM,
    ONEWAY: {DONE: IDLE},
    UPGRADING: _ENDS_UPGRADE,
    RAW: {},
    FAILED: {},
}

CLIENT: dict[str, dict[str, str]] = {
    IDLE: {
        PLAIN_CALL: ANSWERING,
        MORE_CALL: STREAMING,
        ONEWAY_CALL: IDLE,
        UPGRADE_CALL: UPGRADING,
    },
    ANSWERING: {
        PLAIN_CALL: ANSWERING,
        ONEWAY_CALL: ANSWERING,
        REPLY: ANSWERING,
        LAST_REPLY: IDLE,
    },
    STREAMING: _ENDS_STREAM,
    UPGRADING: _ENDS_UPGRADE,
    RAW: {},
    FAILED: {},
}


class _Connection:
    """What both roles share: the framer, the state, and how an error of the peer ends it."""

    __slots__ = ("_codec", "_framer", "_stray", "ended", "state")

    def __init__(self, codec: Codec, limit: int = MESSAGE_LIMIT, max_fds: int = MAX_FDS) -> None:
        self._codec = codec
        self._framer = Framer(limit, max_fds)
        self._stray: list[int] = []  # came with what could not be understood
        self.state = IDLE
        self.ended = False
        """The peer has said that it sends no more."""

    @property
    def waiting(self) -> int:
        """Bytes received whose turn has not come."""
        return self._framer.waiting

    def take_fds(self) -> list[int]:
        """The descriptors received and not handed out; the caller's to close."""
        stray, self._stray = self._stray, []
        return stray + self._framer.take_fds()

    def take_rest(self) -> bytes:
        """After an upgrade: the raw bytes that came in with what was read before it."""
        if self.state != RAW:
            raise UsageError("only an upgraded connection has raw bytes")
        return self._framer.take_rest()

    def _push(self, data: bytes, fds: Sequence[int]) -> None:
        if not data and not fds:
            self.ended = True
            return
        if self.state in (RAW, FAILED):
            self._stray.extend(fds)
            self._fail(f"bytes for a connection that is {self.state}")
        try:
            self._framer.push(data, fds)
        except ProtocolError:
            self.state = FAILED
            raise

    def _pull(self) -> Frame | None:
        try:
            return self._framer.pull()
        except ProtocolError:
            self.state = FAILED
            raise

    def _encode(self, envelope: dict[str, Any]) -> bytes:
        data = self._codec.encode(envelope)
        if len(data) > self._framer.limit:
            raise UsageError(
                f"a message of {len(data)} bytes; at most {self._framer.limit} can be sent"
            )
        return data + b"\0"

    def _check_sent_fds(self, count: int, allowed: bool) -> None:
        if count > self._framer.max_fds:
            raise UsageError(f"{count} descriptors; at most {self._framer.max_fds} can be sent")
        if count and not allowed:
            raise UsageError(
                "descriptors can't go behind another message; await the replies to it first"
            )

    def _fail(self, message: str) -> NoReturn:
        self.state = FAILED
        raise ProtocolError(message)


class Server(_Connection):
    """The side that answers. For each call: `next_call`, then `reply`, `error` or `done`."""

    __slots__ = ("_behind", "_call", "_replied")

    def __init__(self, codec: Codec, limit: int = MESSAGE_LIMIT, max_fds: int = MAX_FDS) -> None:
        super().__init__(codec, limit, max_fds)
        self._call: Call | None = None
        self._replied = False
        self._behind = False

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Take in what one recvmsg gave; no bytes at all mean that the client sends no more.

        Raises ProtocolError; then, as always, `take_fds` has the descriptors.
        """
        busy = self.state not in (IDLE, RAW, FAILED)
        if busy and fds:
            self._stray.extend(fds)
            self._fail("descriptors behind an unanswered call; await its reply first")
        if busy and data and self.state == STREAMING:
            self._fail("a message behind a 'more' call; open another connection for it")
        self._push(data, fds)

    def next_call(self) -> Call | None:
        """The next call to answer; None while one is being answered or none is whole.

        Raises ProtocolError: malformed, out of order, or ended in the middle.
        """
        if self.state == FAILED:
            self._fail("the connection is broken")
        if self.state != IDLE:
            return None
        frame = self._pull()
        if frame is None:
            if self.ended and self._framer.waiting:
                self._fail("the connection ended in the middle of a message")
            return None
        return self._begin(frame)

    def reply(self, parameters: Any = None, *, continues: bool = False, fds: int = 0) -> bytes:
        """The bytes of a reply, to be sent by one sendmsg with `fds` descriptors.

        Raises UsageError where no such reply may be sent, and if it can't be encoded; the
        call is then still to be answered.
        """
        following = self._following(CONTINUES if continues else REPLY)
        first = not self._replied and self._call is not None and not self._call.queued
        self._check_sent_fds(fds, first)
        data = self._encode(build_reply(parameters, continues=continues))
        self._replied = True
        self._enter(following)
        return data

    def error(self, error: str, parameters: Any = None) -> bytes:
        """The bytes of an error reply, which is final. Raises UsageError as `reply` does."""
        following = self._following(ERROR)
        data = self._encode(build_error(error, parameters))
        self._enter(following)
        return data

    def done(self) -> None:
        """A oneway call was carried out. Raises UsageError after any other."""
        self._enter(self._following(DONE))

    def _begin(self, frame: Frame) -> Call:
        try:
            call = self._codec.decode_call(frame.data)
        except ProtocolError:
            self._stray.extend(frame.fds)
            self.state = FAILED
            raise
        if call.more and self._framer.waiting:
            self._stray.extend(frame.fds)
            self._fail("a message behind a 'more' call; open another connection for it")
        call.fds = frame.fds
        call.queued = self._behind
        self._call, self._replied = call, False
        self.state = SERVER[IDLE][_kind(call.more, call.oneway, call.upgrade)]
        return call

    def _following(self, event: str) -> str:
        try:
            return SERVER[self.state][event]
        except KeyError:
            raise UsageError(f"{event} can't be sent while {self.state}") from None

    def _enter(self, state: str) -> None:
        if state == IDLE:
            # What is here already was sent by a client that had not read this reply.
            self._behind = self._framer.waiting > 0
            self._call = None
        self.state = state


class Client(_Connection):
    """The side that calls: send what `call` returns, `feed` what comes, read `next_reply`."""

    __slots__ = ("_awaited", "_unsettled")

    def __init__(self, codec: Codec, limit: int = MESSAGE_LIMIT, max_fds: int = MAX_FDS) -> None:
        super().__init__(codec, limit, max_fds)
        self._awaited: list[str] = []
        self._unsettled = False  # the last call was oneway, and may still be unread

    def call(
        self,
        method: str,
        parameters: Any = None,
        *,
        more: bool = False,
        oneway: bool = False,
        upgrade: bool = False,
        fds: int = 0,
    ) -> bytes:
        """The bytes of a call, to be sent by one sendmsg with `fds` descriptors.

        Raises UsageError where no such call may be sent, and if it can't be encoded.
        """
        if more + oneway + upgrade > 1:
            raise UsageError("a call may be one of more, oneway and upgrade, not several")
        following = self._following(_kind(more, oneway, upgrade))
        self._check_sent_fds(fds, not self._awaited and not self._unsettled)
        data = self._encode(
            build_call(method, parameters, more=more, oneway=oneway, upgrade=upgrade)
        )
        self.state = following
        self._unsettled = oneway
        if not oneway:
            self._awaited.append(method)
        return data

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Take in what one recvmsg gave; no bytes at all mean the end of the connection.

        Raises ProtocolError; then, as always, `take_fds` has the descriptors.
        """
        if self.state == IDLE and (data or fds):
            self._stray.extend(fds)
            self._fail("a message that answers no call")
        self._push(data, fds)

    def next_reply(self) -> Reply | None:
        """The next reply, in the order of the calls; None until one is whole.

        Raises ProtocolError; ConnectionLost if the connection ended before the final reply.
        """
        if self.state == FAILED:
            self._fail("the connection is broken")
        if not self._awaited:
            return None
        frame = self._pull()
        if frame is not None:
            return self._accept(frame)
        if self.ended:
            self.state = FAILED
            raise ConnectionLost(
                f"the connection ended before {self._awaited[0]} was answered; "
                "whether it was carried out is unknown"
            )
        return None

    def _accept(self, frame: Frame) -> Reply:
        try:
            reply = self._codec.decode_reply(frame.data)
            self._advance(self._event(reply))
        except PyinitError:
            self._stray.extend(frame.fds)
            self.state = FAILED
            raise
        reply.fds = frame.fds
        return reply

    def _event(self, reply: Reply) -> str:
        if reply.continues:
            return CONTINUES
        if self.state == ANSWERING:
            return LAST_REPLY if len(self._awaited) == 1 else REPLY
        return REPLY if reply.error is None else ERROR

    def _advance(self, event: str) -> None:
        following = CLIENT[self.state].get(event)
        if following is None:
            raise ProtocolError(f"{event} to a call that did not say 'more'")
        if following == IDLE and self._framer.waiting:
            raise ProtocolError("a message that answers no call")
        self.state = following
        if event != CONTINUES:
            del self._awaited[0]

    def _following(self, event: str) -> str:
        try:
            return CLIENT[self.state][event]
        except KeyError:
            raise UsageError(f"{event} can't be sent on a connection {self.state}") from None


def _kind(more: bool, oneway: bool, upgrade: bool) -> str:
    if more:
        return MORE_CALL
    if oneway:
        return ONEWAY_CALL
    return UPGRADE_CALL if upgrade else PLAIN_CALL
