"""The errors of pyinit: one small tree, split by who is at fault.

Each message is one line: what was wrong, and what to do about it. `status` is the
exit status a command-line program ends with when the error reaches its top.
"""

from __future__ import annotations


class PyinitError(Exception):
    """Base of every error that pyinit raises on purpose."""

    status = 125


class UsageError(PyinitError):
    """The caller asked for something that can't be: a bad name, option, file or value."""


class NotFound(PyinitError):
    """What the caller named does not exist: a container, exec, service, user or folder."""


class InUse(PyinitError):
    """What the caller wants to make exists already, and is alive."""


class Unsupported(PyinitError):
    """This kernel, machine or user can't do it; the message names the way round."""


class SystemFault(PyinitError):
    """A system call failed. Carries the errno and what was being done.

    `errno` is the number of the kernel's error; `doing` is a phrase such as
    "mount proc at /proc".
    """

    def __init__(self, doing: str, error: OSError) -> None:
        super().__init__(f"{doing}: {error.strerror or error}")
        self.doing = doing
        self.errno = error.errno or 0


class CommandError(PyinitError):
    """A command that can't be run: `command` as it was given, and the `reason`."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}" if command else reason)
        self.command = command
        self.reason = reason


class CommandNotFound(CommandError):
    """The command is in no folder of PATH, or its path does not exist (127)."""

    status = 127


class CommandNotExecutable(CommandError):
    """The command is there and can't be executed (126)."""

    status = 126


class ProtocolError(PyinitError):
    """The peer broke the rules of the control protocol; the connection is of no more use."""


class ConnectionLost(PyinitError):
    """The connection ended before the answer was complete. Never a success."""
