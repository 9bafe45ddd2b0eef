"""From the errors of pyinit and of the kernel to the errors of the control protocol."""

from __future__ import annotations

import errno
import os

from pyinit.errors import (
    CommandNotExecutable,
    CommandNotFound,
    InUse,
    NotFound,
    SystemFault,
    Unsupported,
    UsageError,
)
from pyinit.varlink.envelope import ErrorReply

INTERFACE = "io.pyinit.Control"
_EXHAUSTED = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOBUFS}
)


class InvalidArgument(UsageError):
    """A parameter of a call has a value that can't be."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Missing(NotFound):
    """The caller named something that is not there."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"no such {kind}: {name}")
        self.kind = kind
        self.name = name


class ShuttingDown(UsageError):
    """The container is on its way down."""


class TooMany(UsageError):
    """A limit of ours was reached."""


class Taken(InUse):
    """The name is in use."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is a {kind} {name} already")
        self.kind = kind
        self.name = name


def as_error_reply(error: Exception) -> ErrorReply:
    """The typed error for what a method raised."""
    if isinstance(error, ErrorReply):
        return error
    name, parameters = _classify(error)
    return ErrorReply(f"{INTERFACE}.{name}", parameters, str(error))


def _classify(error: Exception) -> tuple[str, dict[str, object]]:
    match error:
        case InvalidArgument():
            return "InvalidArgument", {"field": error.field, "reason": error.reason}
        case Missing():
            return "NotFound", {"kind": error.kind, "name": error.name}
        case Taken():
            return "InUse", {"kind": error.kind, "name": error.name}
        case TooMany():
            return _system("start a command", errno.EAGAIN, str(error))
        case ShuttingDown():
            return "ShuttingDown", {}
        case CommandNotFound():
            return "CommandNotFound", {"command": error.command, "reason": error.reason}
        case CommandNotExecutable():
            return "CommandNotExecutable", {"command": error.command, "reason": error.reason}
        case Unsupported():
            return "Unsupported", {"what": "", "reason": str(error)}
        case UsageError():
            return "InvalidArgument", {"field": "", "reason": str(error)}
    return _classify_fault(error)


def _classify_fault(error: Exception) -> tuple[str, dict[str, object]]:
    match error:
        case SystemFault():
            return _system(error.doing, error.errno, str(error))
        case OSError():
            return _system(str(error.filename or ""), error.errno or 0, error.strerror or "")
    return _system("answer the call", 0, f"a fault of init: {type(error).__name__}: {error}")


def _system(doing: str, number: int, reason: str) -> tuple[str, dict[str, object]]:
    name = "Exhausted" if number in _EXHAUSTED else "SystemFailure"
    reason = reason or (os.strerror(number) if number else "")
    return name, {"doing": doing, "errno": number, "reason": reason}
