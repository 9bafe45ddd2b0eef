"""An exec as a program asks for it, for both clients: parameters, pipes and the outcome."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pyinit.errors import SystemFault, UsageError
from pyinit.varlink.scm import close_all
from pyinit_ctl.replies import return_code
from pyinit_ctl.results import CompletedExec, ExecTimedOut

PIPE = -1
STDOUT = -2
DEVNULL = -3
"""Of the same value and meaning as in `subprocess`."""

NAMES = ("stdin", "stdout", "stderr")


class HasFileno(Protocol):
    """A file, socket or pipe object."""

    def fileno(self) -> int: ...


Stream = int | HasFileno


def command_parameters(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    cwd: str | None = None,
    timeout: float | None = None,
    grace: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The `Command` of io.pyinit.Control; `more` are its other members by their names."""
    if isinstance(argv, str) or not argv:
        raise UsageError("a command is a list of words, with the program first")
    given = {
        "argv": list(argv),
        "environment": None if env is None else dict(env),
        "user": user,
        "workdir": cwd,
        "timeout": timeout,
        "grace": grace,
        **more,
    }
    return {name: value for name, value in given.items() if value is not None}


class Streams:
    """The three streams of a command: what goes to it, and our ends of the pipes.

    `ours` maps stdin, stdout and stderr to descriptors that whoever runs the exec closes.
    """

    __slots__ = ("_made", "fds", "indexes", "ours")

    def __init__(self) -> None:
        self.fds: list[int] = []
        self.indexes: dict[str, int] = {}
        self.ours: dict[str, int] = {}
        self._made: list[int] = []

    @classmethod
    def open(cls, stdin: Stream, stdout: Stream, stderr: Stream) -> Streams:
        """Make the pipes. Raises UsageError for what may not be passed, SystemFault."""
        streams = cls()
        try:
            streams._add("stdin", stdin)
            streams._add("stdout", stdout)
            if stderr == STDOUT:
                if "stdout" in streams.indexes:
                    streams.indexes["stderr"] = streams.indexes["stdout"]
            else:
                streams._add("stderr", stderr)
        except BaseException:
            streams.sent()
            close_all(streams.ours.values())
            raise
        return streams

    def sent(self) -> None:
        """The init has the command's ends: close ours of them."""
        close_all(self._made)
        self._made.clear()

    def _add(self, name: str, stream: Stream) -> None:
        if stream == DEVNULL:
            return
        descriptor = self._pipe(name) if stream == PIPE else _passable(name, stream)
        self.indexes[name] = len(self.fds)
        self.fds.append(descriptor)

    def _pipe(self, name: str) -> int:
        try:
            reading, writing = os.pipe()
        except OSError as error:
            raise SystemFault("make a pipe for a command", error) from None
        theirs, ours = (reading, writing) if name == "stdin" else (writing, reading)
        os.set_blocking(ours, False)
        self.ours[name] = ours
        self._made.append(theirs)
        return theirs


def _passable(name: str, stream: Stream) -> int:
    descriptor = stream if isinstance(stream, int) else stream.fileno()
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError as error:
        raise SystemFault(f"use descriptor {descriptor} as {name}", error) from None
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        raise UsageError(
            f"{name} must be a pipe or a socket: a container could type into a terminal, and "
            "write to a file that it was given for reading; use PIPE and copy"
        )
    return descriptor


def completed(
    argv: Sequence[str],
    reply: Mapping[str, Any],
    outputs: Mapping[str, bytes],
    complete: bool = True,
) -> CompletedExec:
    """The outcome of an exec from its last reply. Raises ExecTimedOut, ProtocolError."""
    result = CompletedExec(
        list(argv),
        return_code(reply.get("status")),
        outputs.get("stdout"),
        outputs.get("stderr"),
        complete,
    )
    if reply.get("timed_out") is True:
        raise ExecTimedOut(result)
    return result
