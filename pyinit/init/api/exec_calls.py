"""What the methods about execs take and give, and a command read from a call."""

from __future__ import annotations

import base64
import os
import stat
from typing import Annotated

from msgspec import Meta, Struct

from pyinit.init.api.container import Seconds
from pyinit.init.capture import Capture
from pyinit.init.command import Command
from pyinit.init.container import Container
from pyinit.init.execs import Exec
from pyinit.init.faults import InvalidArgument
from pyinit.init.users import User
from pyinit.spec.container import check_environment
from pyinit.spec.privileges import (
    UNLIMITED,
    Privileges,
    change_capabilities,
    change_no_new_privs,
    change_rlimits,
    rlimits_of,
)
from pyinit.spec.status import ExitStatus

Identity = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{1,64}\Z")]


class TerminalCall(Struct, frozen=True, forbid_unknown_fields=True):
    """The IDL's Terminal."""

    rows: int
    columns: int
    term: str | None = None


class Rlimit(Struct, frozen=True, forbid_unknown_fields=True):
    soft: int | None = None
    hard: int | None = None


class CommandCall(Struct, frozen=True, forbid_unknown_fields=True):
    """The IDL's Command."""

    argv: Annotated[list[str], Meta(min_length=1)]
    environment: dict[str, str] | None = None
    workdir: str | None = None
    user: str | None = None
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    no_new_privs: bool | None = None
    rlimits: dict[str, Rlimit] | None = None
    umask: Annotated[int, Meta(ge=0, le=0o777)] | None = None
    timeout: Seconds | None = None
    grace: Seconds | None = None


class ExecCall(Struct, frozen=True, forbid_unknown_fields=True):
    command: CommandCall
    id: Identity | None = None
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    terminal: TerminalCall | None = None
    detach: bool | None = None


class ExecReply(Struct, frozen=True, omit_defaults=True):
    event: str
    id: str
    pid: int
    terminal: int | None = None
    status: ExitStatus | None = None
    timed_out: bool | None = None


class RunCall(Struct, frozen=True, forbid_unknown_fields=True):
    command: CommandCall
    input: str | None = None


class RunReply(Struct, frozen=True):
    status: ExitStatus
    stdout: str
    stderr: str
    encoding: str
    truncated: bool
    timed_out: bool
    held: bool


class ExecInfo(Struct, frozen=True, omit_defaults=True):
    """The IDL's ExecInfo."""

    id: str
    argv: tuple[str, ...]
    user: str
    pid: int
    terminal: bool
    detached: bool
    state: str
    started: float
    timed_out: bool
    peer_uid: int | None = None
    ended: float | None = None
    status: ExitStatus | None = None


class ListExecsReply(Struct, frozen=True):
    execs: list[ExecInfo]


class SignalExecCall(Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    signal: str
    all: bool | None = None


class WaitExecCall(Struct, frozen=True, forbid_unknown_fields=True):
    id: str


class WaitExecReply(Struct, frozen=True):
    status: ExitStatus
    timed_out: bool


class DetachExecCall(Struct, frozen=True, forbid_unknown_fields=True):
    id: str


class AttachExecCall(Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    stdout: int | None = None
    stderr: int | None = None
    size: TerminalCall | None = None


class AttachReply(Struct, frozen=True, omit_defaults=True):
    event: str
    id: str
    terminal: int | None = None
    kept: str | None = None
    dropped: int | None = None
    status: ExitStatus | None = None
    timed_out: bool | None = None
    held: bool | None = None


def run_reply(status: ExitStatus, capture: Capture, timed_out: bool, held: bool) -> RunReply:
    """Both outputs as text where both are UTF-8, in base64 where not."""
    outputs = capture.stdout, capture.stderr
    try:
        texts, encoding = [bytes(output).decode() for output in outputs], "utf-8"
    except UnicodeDecodeError:
        texts, encoding = [base64.b64encode(output).decode() for output in outputs], "base64"
    return RunReply(status, texts[0], texts[1], encoding, capture.truncated, timed_out, held)


def require_stream(descriptor: int, field: str) -> None:
    """Raise InvalidArgument unless it is a pipe, a FIFO or a socket.

    A terminal could be typed into by the container, and a file reopened for writing by way
    of /proc/self/fd: the client relays those instead.
    """
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode):
        raise InvalidArgument(field, "must be a pipe, a FIFO or a socket; relay anything else")


def command_of(
    container: Container, call: CommandCall, stdio: tuple[int, int, int], terminal: str | None
) -> Command:
    """The command as the spawner wants it. Raises UsageError, InvalidArgument."""
    user = user_of(container, call)
    more = call.environment or {}
    for key, value in more.items():
        check_environment(key, value)
    for word in call.argv:
        if "\0" in word:
            raise InvalidArgument("argv", "a word with a NUL byte in it")
    workdir = call.workdir or container.config.workdir or "/"
    if not workdir.startswith("/"):
        raise InvalidArgument("workdir", f"{workdir!r} does not start with '/'")
    return Command(
        argv=tuple(call.argv),
        environment=container.environment(user, terminal, more),
        workdir=workdir,
        user=user,
        stdio=stdio,
        terminal=terminal is not None,
        privileges=privileges_of(container.config.privileges, call),
        umask=call.umask if call.umask is not None else container.config.privileges.umask,
    )


def privileges_of(base: Privileges, call: CommandCall) -> Privileges | None:
    """What the command may do, None where that is what the container's commands may.

    Raises UsageError.
    """
    if not (call.cap_add or call.cap_drop or call.rlimits) and call.no_new_privs is None:
        return None
    changed = change_capabilities(base, call.cap_add or (), call.cap_drop or ())
    changed = change_no_new_privs(changed, call.no_new_privs)
    if call.rlimits:
        limits = {name.lower(): _soft_and_hard(value) for name, value in call.rlimits.items()}
        changed = change_rlimits(changed, rlimits_of(limits))
    return None if changed == base else changed


def _soft_and_hard(limit: Rlimit) -> tuple[int, int]:
    soft = UNLIMITED if limit.soft is None else limit.soft
    return soft, UNLIMITED if limit.hard is None else limit.hard


def info_of(exec_: Exec) -> ExecInfo:
    """The exec as the IDL's ExecInfo."""
    user = exec_.command.user
    return ExecInfo(
        id=exec_.id,
        argv=exec_.command.argv,
        user=user.name or str(user.uid),
        peer_uid=exec_.peer_uid,
        pid=exec_.child.pid,
        terminal=exec_.command.terminal,
        detached=exec_.detached,
        state="running" if exec_.status is None else "exited",
        started=exec_.started,
        ended=exec_.ended,
        status=exec_.status,
        timed_out=exec_.timed_out,
    )


def exited_reply(exec_: Exec) -> ExecReply:
    """The last answer to Exec. The exec has ended."""
    return ExecReply(
        "exited",
        exec_.id,
        exec_.child.pid,
        status=exec_.status,
        timed_out=exec_.timed_out or None,
    )


def user_of(container: Container, call: CommandCall) -> User:
    """Whom the command runs as. Raises UsageError."""
    return container.users.lookup(call.user or container.config.user or "")
