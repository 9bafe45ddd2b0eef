"""Methods about execs."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import trio
from msgspec import Meta, Struct

from pyinit.init.api.container import Nothing, Seconds, signal_number
from pyinit.init.capture import Capture
from pyinit.init.command import Command
from pyinit.init.container import Container
from pyinit.init.execs import GRACE, Exec
from pyinit.init.faults import InvalidArgument, Missing, Taken
from pyinit.init.server import Method, Request
from pyinit.init.users import login_environment
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

RUN_LIMIT = 4 << 20
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


class ExecMethods:
    """Exec, Run, ListExecs, SignalExec, WaitExec."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def methods(self) -> dict[str, Method]:
        return {
            "Exec": Method(ExecCall, self.exec),
            "Run": Method(RunCall, self.run),
            "ListExecs": Method(Nothing, self.list_execs),
            "SignalExec": Method(SignalExecCall, self.signal_exec),
            "WaitExec": Method(WaitExecCall, self.wait_exec),
        }

    async def exec(self, request: Request, call: ExecCall) -> None:
        self._container.require_running()
        if call.id is not None and self._container.execs.is_taken(call.id):
            raise Taken("exec", call.id)
        with ExitStack() as stack:
            if call.terminal is not None:
                exec_, fds = await self._start_in_terminal(stack, request, call, call.terminal)
            else:
                exec_, fds = await self._start_with_descriptors(stack, request, call), ()
            exec_.detached = bool(call.detach)
            await self._tell(request, call, exec_, fds)

    async def _start_with_descriptors(
        self, stack: ExitStack, request: Request, call: ExecCall
    ) -> Exec:
        stdio = tuple(
            self._stdio(stack, request, index, field)
            for index, field in (
                (call.stdin, "stdin"),
                (call.stdout, "stdout"),
                (call.stderr, "stderr"),
            )
        )
        assert len(stdio) == 3
        return await self._start(request, call.command, call.id, stdio)

    async def _start_in_terminal(
        self, stack: ExitStack, request: Request, call: ExecCall, size: TerminalCall
    ) -> tuple[Exec, tuple[int, ...]]:
        user = self._container.users.lookup(call.command.user or "")
        master, slave = self._container.terminals.open(size.rows, size.columns, user.uid)
        stack.callback(os.close, master)
        try:
            exec_ = await self._start(
                request, call.command, call.id, (slave, slave, slave), terminal=size.term or "xterm"
            )
        finally:
            os.close(slave)
        return exec_, (master,)

    def _stdio(self, stack: ExitStack, request: Request, index: int | None, field: str) -> int:
        descriptor = request.take_fd(index, field)
        if descriptor is None:
            return self._container.devnull
        stack.callback(os.close, descriptor)
        require_stream(descriptor, field)
        return descriptor

    async def _start(
        self,
        request: Request,
        call: CommandCall,
        identity: str | None,
        stdio: tuple[int, int, int],
        terminal: str | None = None,
    ) -> Exec:
        return await self._container.execs.start(
            command_of(self._container, call, stdio, terminal),
            identity=identity,
            peer_uid=request.peer.uid,
            timeout=call.timeout,
            grace=call.grace if call.grace is not None else GRACE,
        )

    async def _tell(
        self, request: Request, call: ExecCall, exec_: Exec, fds: tuple[int, ...]
    ) -> None:
        with self._owned(exec_, call.command):
            master = 0 if fds else None
            if request.more or exec_.detached:
                started = ExecReply("started", exec_.id, exec_.child.pid, master)
                await request.reply(started, continues=request.more and not exec_.detached, fds=fds)
                fds = ()
            if exec_.detached:
                return
            status = await exec_.wait()
            await request.reply(
                ExecReply(
                    "exited",
                    exec_.id,
                    exec_.child.pid,
                    status=status,
                    timed_out=exec_.timed_out or None,
                )
            )

    @contextmanager
    def _owned(self, exec_: Exec, call: CommandCall) -> Iterator[None]:
        """The exec ends with the connection that asked for it, unless it is detached."""
        try:
            yield
        except BaseException:
            if not exec_.detached:
                self._container.execs.end(exec_, call.grace if call.grace is not None else GRACE)
            raise

    async def run(self, request: Request, call: RunCall) -> None:
        self._container.require_running()
        with Capture(RUN_LIMIT) as capture:
            exec_ = await self._start(request, call.command, None, capture.child_side)
            capture.forget_child_side()
            with self._owned(exec_, call.command):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(capture.write, (call.input or "").encode())
                    nursery.start_soon(capture.read)
                    status = await exec_.wait()
                    await capture.drained()
                    nursery.cancel_scope.cancel()
                await request.reply(run_reply(status, capture, exec_.timed_out))

    async def list_execs(self, request: Request, _call: Nothing) -> None:
        await request.reply(ListExecsReply([info_of(each) for each in self._container.execs.all()]))

    async def signal_exec(self, request: Request, call: SignalExecCall) -> None:
        number = signal_number(call.signal)
        exec_ = self._find(call.id)
        if call.all:
            self._container.execs.signal_tree(exec_, number)
        else:
            self._container.execs.signal(exec_, number)
        await request.reply()

    async def wait_exec(self, request: Request, call: WaitExecCall) -> None:
        exec_ = self._find(call.id)
        status = await exec_.wait()
        await request.reply(WaitExecReply(status, exec_.timed_out))

    def _find(self, identity: str) -> Exec:
        exec_ = self._container.execs.find(identity)
        if exec_ is None:
            raise Missing("exec", identity)
        return exec_


def run_reply(status: ExitStatus, capture: Capture, timed_out: bool) -> RunReply:
    """Both outputs as text where both are UTF-8, in base64 where not."""
    outputs = capture.stdout, capture.stderr
    try:
        texts, encoding = [bytes(output).decode() for output in outputs], "utf-8"
    except UnicodeDecodeError:
        texts, encoding = [base64.b64encode(output).decode() for output in outputs], "base64"
    return RunReply(status, texts[0], texts[1], encoding, capture.truncated, timed_out)


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
    user = container.users.lookup(call.user or container.config.user or "")
    environment = login_environment(user, terminal) | container.config.environment
    for key, value in (call.environment or {}).items():
        check_environment(key, value)
        environment[key] = value
    for word in call.argv:
        if "\0" in word:
            raise InvalidArgument("argv", "a word with a NUL byte in it")
    workdir = call.workdir or container.config.workdir or "/"
    if not workdir.startswith("/"):
        raise InvalidArgument("workdir", f"{workdir!r} does not start with '/'")
    return Command(
        argv=tuple(call.argv),
        environment=environment,
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
