"""The errors that an init answers with, as exceptions whose text is fit for a terminal."""

from __future__ import annotations

from pyinit.errors import (
    CommandNotExecutable,
    CommandNotFound,
    InUse,
    NotFound,
    ProtocolError,
    PyinitError,
    SystemFault,
    Unsupported,
    UsageError,
)
from pyinit_ctl.printable import printable
from pyinit_ctl.replies import INTERFACE, SERVICE

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def failure(error: str, parameters: Mapping[str, Any]) -> PyinitError:
    """The exception for a Varlink error, its text fit for a terminal."""
    interface, _, name = error.rpartition(".")
    build = _BUILDERS.get((interface, name))
    if build is None:
        return ProtocolError(f"the container answered with an unknown error: {printable(error)}")
    return build({key: printable(value) for key, value in parameters.items()})


def _system(fields: dict[str, str]) -> PyinitError:
    number = fields.get("errno", "")
    reason = OSError(int(number) if number.isdigit() else 0, fields.get("reason", "failed"))
    return SystemFault(fields.get("doing", "the container"), reason)


def _exhausted(fields: dict[str, str]) -> PyinitError:
    fault = _system(fields)
    fault.args = (f"{fault}: a limit is reached; try again later or raise it",)
    return fault


_BUILDERS: dict[tuple[str, str], Callable[[dict[str, str]], PyinitError]] = {
    (INTERFACE, "NotFound"): lambda f: NotFound(
        f"no {f.get('kind', 'such thing')} {f.get('name', '')!r} in the container"
    ),
    (INTERFACE, "CommandNotFound"): lambda f: CommandNotFound(
        f.get("command", ""), f.get("reason", "no such command in the container")
    ),
    (INTERFACE, "CommandNotExecutable"): lambda f: CommandNotExecutable(
        f.get("command", ""), f.get("reason", "can't be executed in the container")
    ),
    (INTERFACE, "InvalidArgument"): lambda f: UsageError(
        ": ".join(filter(None, (f.get("field"), f.get("reason", "refused"))))
    ),
    (INTERFACE, "InUse"): lambda f: InUse(
        f"there is a {f.get('kind', '')} {f.get('name', '')!r} already; choose another name"
    ),
    (INTERFACE, "Exhausted"): _exhausted,
    (INTERFACE, "ShuttingDown"): lambda _: Unsupported(
        "the container is shutting down and starts nothing more"
    ),
    (INTERFACE, "Unsupported"): lambda f: Unsupported(
        f.get("reason", "this is not possible in this container")
    ),
    (INTERFACE, "SystemFailure"): _system,
    (SERVICE, "InterfaceNotFound"): lambda f: Unsupported(
        f"nobody speaks {f.get('interface', 'pyinit')} there: not the control socket of an init?"
    ),
    (SERVICE, "MethodNotFound"): lambda f: Unsupported(
        f"the container's init has no method {f.get('method', '')}; `pyinit-ctl describe` "
        "shows what it has"
    ),
    (SERVICE, "MethodNotImplemented"): lambda f: Unsupported(
        f"the container's init does not do {f.get('method', '')}"
    ),
    (SERVICE, "InvalidParameter"): lambda f: UsageError(
        f"the container's init does not take the parameter {f.get('parameter', '')!r}"
    ),
    (SERVICE, "PermissionDenied"): lambda _: Unsupported(
        "the container's init does not allow this to you"
    ),
    (SERVICE, "ExpectedMore"): lambda _: UsageError(
        "this method must be called with `more`; add --more"
    ),
}
