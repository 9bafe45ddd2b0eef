"""What is around the parameters of a message: calls, replies, errors.

https://varlink.org/Method-Call. A call has `method` and maybe `parameters`, `more`, `oneway`,
`upgrade`; a reply has maybe `parameters`, `continues`, `error`. A member that is null is
taken as one that is absent. Members of any other name are refused.
"""

from __future__ import annotations

from pyinit.errors import ProtocolError, PyinitError

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any


class Call:
    """A method call as the server sees it.

    `parameters` is a dict, or msgspec.Raw from the codec `typed`. Whoever takes the
    call owns its `fds`. `queued`: it was received before the reply to an earlier call was made,
    so its replies can't carry descriptors.
    """

    __slots__ = ("fds", "method", "more", "oneway", "parameters", "queued", "upgrade")

    def __init__(
        self,
        method: str,
        parameters: Any,
        *,
        more: bool = False,
        oneway: bool = False,
        upgrade: bool = False,
    ) -> None:
        if more + oneway + upgrade > 1:
            raise ProtocolError("a call may be one of more, oneway and upgrade, not several")
        self.method = method
        self.parameters = parameters
        self.more = more
        self.oneway = oneway
        self.upgrade = upgrade
        self.fds: tuple[int, ...] = ()
        self.queued = False


class Reply:
    """A reply as the client sees it; `error` is the error's full name, or None.

    `parameters` is a dict, or msgspec.Raw from the codec `typed`. Whoever takes the
    reply owns its `fds`.
    """

    __slots__ = ("continues", "error", "fds", "parameters")

    def __init__(
        self, parameters: Any, *, continues: bool = False, error: str | None = None
    ) -> None:
        if continues and error is not None:
            raise ProtocolError("an error reply that says it continues")
        self.parameters = parameters
        self.continues = continues
        self.error = error
        self.fds: tuple[int, ...] = ()


class ErrorReply(PyinitError):
    """A Varlink error: raised by a method to be answered with, and by a client that got one.

    `error` is its full name, interface and all; `parameters` what the IDL says goes with it.
    """

    def __init__(self, error: str, parameters: Any = None, message: str = "") -> None:
        super().__init__(message or error)
        self.error = error
        self.parameters: Any = {} if parameters is None else parameters


def build_call(
    method: str,
    parameters: Any = None,
    *,
    more: bool = False,
    oneway: bool = False,
    upgrade: bool = False,
) -> dict[str, Any]:
    """The envelope of a call; what is not so is left out, as clients by hand would."""
    envelope: dict[str, Any] = {"method": method}
    if parameters is not None:
        envelope["parameters"] = parameters
    if more:
        envelope["more"] = True
    if oneway:
        envelope["oneway"] = True
    if upgrade:
        envelope["upgrade"] = True
    return envelope


def build_reply(parameters: Any = None, *, continues: bool = False) -> dict[str, Any]:
    """The envelope of a reply. `parameters` is there even when empty: some clients insist."""
    envelope: dict[str, Any] = {"parameters": {} if parameters is None else parameters}
    if continues:
        envelope["continues"] = True
    return envelope


def build_error(error: str, parameters: Any = None) -> dict[str, Any]:
    """The envelope of an error reply; `error` is its full name."""
    return {"error": error, "parameters": {} if parameters is None else parameters}


def read_call(envelope: object) -> Call:
    """Check a decoded call, member by member. Raises ProtocolError."""
    members = _members(envelope, ("method", "parameters", "more", "oneway", "upgrade"))
    method = _text(members, "method")
    if not method:
        raise ProtocolError("a call without a method")
    return Call(
        method,
        _parameters(members),
        more=_flag(members, "more"),
        oneway=_flag(members, "oneway"),
        upgrade=_flag(members, "upgrade"),
    )


def read_reply(envelope: object) -> Reply:
    """Check a decoded reply, member by member. Raises ProtocolError."""
    members = _members(envelope, ("parameters", "continues", "error"))
    error = _text(members, "error")
    if error == "":
        raise ProtocolError("an error reply without a name")
    return Reply(_parameters(members), continues=_flag(members, "continues"), error=error)


def _members(envelope: object, known: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(envelope, dict):
        raise ProtocolError("a message that is not a JSON object")
    for name in envelope:
        if name not in known:
            raise ProtocolError(f"a message with a member {ascii(name)[:80]}, which none has")
    return envelope


def _parameters(members: dict[str, object]) -> dict[str, object]:
    value = members.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ProtocolError("a message whose 'parameters' is not an object")
    return value


def _flag(members: dict[str, object], name: str) -> bool:
    value = members.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ProtocolError(f"a message whose {name!r} is neither true nor false")
    return value


def _text(members: dict[str, object], name: str) -> str | None:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise ProtocolError(f"a message whose {name!r} is not a string")
    return value
