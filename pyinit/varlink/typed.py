"""JSON by msgspec: the codec of PID 1 and of the trio client.

A codec for `connection`: `encode`, `decode_call`, `decode_reply`. Parameters stay raw until
`decode_parameters` reads them into the method's own Struct, once, straight from the bytes.

Integers are any that Python reads (declare `Int` to hold a field to Varlink's 64 bits). Of a
key given twice the last counts.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from pyinit.errors import ProtocolError, UsageError
from pyinit.varlink.depth import check_depth
from pyinit.varlink.envelope import Call, Reply
from pyinit.varlink.faults import InvalidParameter

T = TypeVar("T")

Int = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
"""Varlink's int: 64 bits, signed."""

_EMPTY = msgspec.Raw(b"{}")
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class CallEnvelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A call's members, checked; null is the same as absent."""

    method: str
    parameters: msgspec.Raw = _EMPTY
    more: bool | None = None
    oneway: bool | None = None
    upgrade: bool | None = None


class ReplyEnvelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A reply's members, checked; null is the same as absent."""

    parameters: msgspec.Raw = _EMPTY
    continues: bool | None = None
    error: str | None = None


_call_decoder = msgspec.json.Decoder(CallEnvelope)
_reply_decoder = msgspec.json.Decoder(ReplyEnvelope)
_encoder = msgspec.json.Encoder()


def encode(envelope: dict[str, Any]) -> bytes:
    """An envelope as JSON; its parameters may be Structs, dicts or Raw. Raises UsageError."""
    try:
        return _encoder.encode(envelope)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise UsageError(f"this can't be sent as JSON: {error}") from None


def decode_call(data: bytes) -> Call:
    """A call, its parameters Raw: the text of an object, not yet looked into otherwise.

    Raises ProtocolError and nothing else.
    """
    envelope = _decode(_call_decoder, data)
    if not envelope.method:
        raise ProtocolError("a call without a method")
    return Call(
        envelope.method,
        _object(envelope.parameters),
        more=bool(envelope.more),
        oneway=bool(envelope.oneway),
        upgrade=bool(envelope.upgrade),
    )


def decode_reply(data: bytes) -> Reply:
    """A reply, its parameters Raw as in `decode_call`. Raises ProtocolError."""
    envelope = _decode(_reply_decoder, data)
    if envelope.error == "":
        raise ProtocolError("an error reply without a name")
    return Reply(
        _object(envelope.parameters), continues=bool(envelope.continues), error=envelope.error
    )


def decode_parameters(raw: msgspec.Raw, wanted: type[T]) -> T:
    """The parameters as `wanted`, a Struct.

    Raises InvalidParameter with the parameter's name; its message says what was wrong.
    """
    try:
        return msgspec.json.decode(raw, type=wanted)
    except _MALFORMED as error:
        message = str(error)
        raise InvalidParameter(_culprit(message), message) from None


def _decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    check_depth(data)
    try:
        return decoder.decode(data)
    except _MALFORMED as error:
        raise ProtocolError(f"malformed message: {error}") from None


def _object(raw: msgspec.Raw) -> msgspec.Raw:
    first = memoryview(raw)[0]
    if first == ord("{"):
        return raw
    if first == ord("n"):  # null: nothing else begins so
        return _EMPTY
    raise ProtocolError("a message whose 'parameters' is not an object")


def _culprit(message: str) -> str:
    """The parameter's name, as msgspec's messages have it: "… `$.argv[0]`" or "… field `x`"."""
    _, found, path = message.rpartition("`$.")
    if not found:
        _, found, path = message.rpartition("field `")
    return path.split("`")[0] if found else ""
