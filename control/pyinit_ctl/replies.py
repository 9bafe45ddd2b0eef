"""What an init answers, checked and turned into Python's terms. Nothing of it is trusted."""

from __future__ import annotations

from pyinit.errors import ProtocolError

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

INTERFACE = "io.pyinit.Control"
SERVICE = "org.varlink.service"

FAILED = 125
"""Exit status when pyinit-ctl itself failed or the connection was lost, as with docker exec."""

TIMED_OUT = 124
"""Exit status when `--timeout` was over, as with timeout(1)."""


def exit_status(status: object) -> int:
    """The exit status that a shell would show for an ExitStatus. Raises ProtocolError.

    Source of the numbers: POSIX, 2.8.2 Exit Status for Commands.
    """
    code, signal = split_status(status)
    return code if code is not None else 128 + (signal or 0)


def return_code(status: object) -> int:
    """An ExitStatus as `subprocess` shows it: negative for a signal. Raises ProtocolError."""
    code, signal = split_status(status)
    return code if code is not None else -(signal or 0)


def split_status(status: object) -> tuple[int | None, int | None]:
    """The code and the signal of an ExitStatus; one of them is None. Raises ProtocolError."""
    if isinstance(status, dict):
        code, signal = status.get("code"), status.get("signal")
        if signal is None and is_number(code, 0, 255):
            return code, None
        if code is None and is_number(signal, 1, 127):
            return None, signal
    raise ProtocolError("the container's answer has no valid exit status")


def text(parameters: Mapping[str, Any], name: str) -> str:
    """A string member of an answer. Raises ProtocolError."""
    value = parameters.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"the container's answer has no {name!r}")
    return value


def is_number(value: object, low: int, high: int) -> bool:
    """Whether `value` is an integer, and no bool, from `low` to `high`."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
