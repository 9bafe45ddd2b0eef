"""The errors that every Varlink service shares: https://varlink.org/Service.

Each is raised by whoever finds the fault, and is the error reply itself.
"""

from __future__ import annotations

from pyinit.varlink.envelope import ErrorReply


class InterfaceNotFound(ErrorReply):
    """The service has no such interface."""

    def __init__(self, interface: str) -> None:
        super().__init__(
            "org.varlink.service.InterfaceNotFound",
            {"interface": interface},
            f"there is no interface {interface!r}",
        )


class MethodNotFound(ErrorReply):
    """The interface has no such method; `method` is its full name."""

    def __init__(self, method: str) -> None:
        super().__init__(
            "org.varlink.service.MethodNotFound", {"method": method}, f"there is no {method!r}"
        )


class MethodNotImplemented(ErrorReply):
    """The interface has the method, this service hasn't; `method` is its full name."""

    def __init__(self, method: str) -> None:
        super().__init__(
            "org.varlink.service.MethodNotImplemented",
            {"method": method},
            f"{method!r} is not to be had here",
        )


class InvalidParameter(ErrorReply):
    """A parameter is missing, unknown, or of the wrong type; the message says which of these."""

    def __init__(self, parameter: str, message: str = "") -> None:
        super().__init__(
            "org.varlink.service.InvalidParameter",
            {"parameter": parameter},
            message or f"the parameter {parameter!r} is invalid",
        )


class PermissionDenied(ErrorReply):
    """The peer may not call this method."""

    def __init__(self, message: str = "permission denied") -> None:
        super().__init__("org.varlink.service.PermissionDenied", {}, message)


class ExpectedMore(ErrorReply):
    """The method answers only to calls with `more`."""

    def __init__(self, method: str) -> None:
        super().__init__(
            "org.varlink.service.ExpectedMore", {}, f"{method!r} is to be called with 'more'"
        )
