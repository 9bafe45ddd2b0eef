"""From the errors of pyinit and of the kernel to the errors of the control protocol."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

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


# So long PID 1 waits before it tries anew what nobody can be told of (seconds).
RETRY_S = 0.2


def is_exhaustion(error: OSError) -> bool:
    """Whether something has run out that may be there again in a moment: descriptors, memory."""
    return error.errno in _EXHAUSTED


@contextmanager
def unless_exhausted() -> Iterator[None]:
    """What is in it is left out where descriptors or memory have run out."""
    try:
        yield
    except OSError as error:
        if not is_exhaustion(error):
            raise


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
            return _system(error.doing, error.errno, str(error).removeprefix(f"{error.doing}: "))
        case OSError():
            return _system(str(error.filename or "PID 1"), error.errno or 0, error.strerror or "")
    return _system("answer the call", 0, f"a fault of init: {type(error).__name__}: {error}")


def _system(doing: str, number: int, reason: str) -> tuple[str, dict[str, object]]:
    name = "Exhausted" if number in _EXHAUSTED else "SystemFailure"
    reason = reason or (os.strerror(number) if number else "")
    return name, {"doing": doing, "errno": number, "reason": reason}
