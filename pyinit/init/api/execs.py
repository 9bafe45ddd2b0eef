"""Methods about execs: what runs, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import trio

from pyinit.init.api.container import Nothing, signal_number
from pyinit.init.api.exec_calls import (
    CommandCall,
    DetachExecCall,
    ExecCall,
    ExecReply,
    ListExecsReply,
    RunCall,
    SignalExecCall,
    TerminalCall,
    WaitExecCall,
    WaitExecReply,
    command_of,
    exited_reply,
    info_of,
    require_stream,
    run_reply,
    user_of,
)
from pyinit.init.capture import Capture
from pyinit.init.container import Container
from pyinit.init.execs import MOST, Exec
from pyinit.init.faults import Missing, Taken, TooMany
from pyinit.init.outputs import STDERR, STDOUT
from pyinit.init.server import Method, Request

RUN_LIMIT = 4 << 20


class ExecMethods:
    """Exec, DetachExec, Run, ListExecs, SignalExec, WaitExec."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def methods(self) -> dict[str, Method]:
        return {
            "Exec": Method(ExecCall, self.exec, self.exec_at_once),
            "DetachExec": Method(DetachExecCall, self.detach),
            "Run": Method(RunCall, self.run),
            "ListExecs": Method(Nothing, self.list_execs),
            "SignalExec": Method(SignalExecCall, self.signal_exec),
            "WaitExec": Method(WaitExecCall, self.wait_exec),
        }

    def exec_at_once(self, request: Request, call: ExecCall) -> bool:
        """What most execs are: nothing is told before the end, so nobody has to wait."""
        if request.more or call.detach:
            return False
        self._answer_at_the_end(request, self._begin_wanted(request, call))
        return True

    async def exec(self, request: Request, call: ExecCall) -> None:
        exec_ = self._begin_wanted(request, call)
        if call.detach:
            exec_.detached = True
            await exec_.child.started()
            await request.reply(ExecReply("started", exec_.id, exec_.child.pid))
            return
        with ending_with_connection(self._container, exec_):
            await self._tell_started(request, exec_)
        self._answer_at_the_end(request, exec_)

    def _answer_at_the_end(self, request: Request, exec_: Exec) -> None:
        """The answer goes out from within the reaping, some turns of the loop sooner."""

        def tell() -> None:
            if exec_.child.failure is not None:
                request.refuse(exec_.child.failure)
            else:
                request.answer(exited_reply(exec_))

        request.answer_later(lambda: abandon(self._container, exec_))
        exec_.tell_first(tell)

    def _begin_wanted(self, request: Request, call: ExecCall) -> Exec:
        require_room(self._container, call.id)
        with ExitStack() as undo:
            if call.terminal is not None:
                exec_ = self._begin_in_terminal(undo, request, call, call.terminal)
            else:
                exec_ = self._begin_with_descriptors(undo, request, call)
            undo.pop_all()  # the exec's own from here on
        return exec_

    def _begin_with_descriptors(self, undo: ExitStack, request: Request, call: ExecCall) -> Exec:
        given = Given(undo, request)
        stdin = given.take(call.stdin, "stdin")
        outputs = [given.take(call.stdout, "stdout"), given.take(call.stderr, "stderr")]
        null = self._container.devnull
        ours: dict[int, int] = {}
        if call.detach:
            for index, stream in enumerate((STDOUT, STDERR)):
                if outputs[index] is None:
                    ours[stream], outputs[index] = given.make_pipe()
        stdout, stderr = (null if each is None else each for each in outputs)
        stdio = (null if stdin is None else stdin, stdout, stderr)
        exec_ = begin(self._container, request, call.command, stdio, given.all, identity=call.id)
        if ours:
            output = self._container.execs.keep_output(exec_)
            for stream, descriptor in ours.items():
                output.drain(descriptor, stream)
        return exec_

    def _begin_in_terminal(
        self, undo: ExitStack, request: Request, call: ExecCall, size: TerminalCall
    ) -> Exec:
        container = self._container
        owner = user_of(container, call.command).uid
        master, slave = container.terminals.open(size.rows, size.columns, owner)
        undo.callback(os.close, master)
        undo.callback(os.close, slave)
        exec_ = begin(
            container,
            request,
            call.command,
            (slave, slave, slave),
            {slave},
            identity=call.id,
            terminal=size.term or "xterm",
        )
        exec_.master = master
        if call.detach:
            container.execs.keep_output(exec_).drain(os.dup(master))
        return exec_

    async def _tell_started(self, request: Request, exec_: Exec) -> None:
        await exec_.child.started()
        fds = () if exec_.master is None else (exec_.master,)
        started = ExecReply("started", exec_.id, exec_.child.pid, 0 if fds else None)
        await request.reply(started, continues=True, fds=fds)

    async def detach(self, request: Request, call: DetachExecCall) -> None:
        exec_ = find(self._container, call.id)
        if exec_.status is None:
            exec_.detached = True
            if exec_.master is not None and exec_.output is None:
                self._container.execs.keep_output(exec_).drain(os.dup(exec_.master))
        await request.reply()

    async def run(self, request: Request, call: RunCall) -> None:
        require_room(self._container)
        with Capture(RUN_LIMIT) as capture:
            exec_ = begin(
                self._container, request, call.command, capture.child_side, capture.give_away()
            )
            with ending_with_connection(self._container, exec_):
                await exec_.child.started()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(capture.write, (call.input or "").encode())
                    nursery.start_soon(capture.read)
                    status = await exec_.wait()
                    held = not await capture.drained()
                    nursery.cancel_scope.cancel()
                await request.reply(run_reply(status, capture, exec_.timed_out, held))

    async def list_execs(self, request: Request, _call: Nothing) -> None:
        await request.reply(ListExecsReply([info_of(each) for each in self._container.execs.all()]))

    async def signal_exec(self, request: Request, call: SignalExecCall) -> None:
        number = signal_number(call.signal)
        exec_ = find(self._container, call.id)
        if call.all:
            self._container.execs.signal_tree(exec_, number)
        else:
            self._container.execs.signal(exec_, number)
        await request.reply()

    async def wait_exec(self, request: Request, call: WaitExecCall) -> None:
        exec_ = find(self._container, call.id)
        status = await exec_.wait()
        await request.reply(WaitExecReply(status, exec_.timed_out))


class Given:
    """Descriptors that came with a call, each claimed once however many names it has."""

    def __init__(self, undo: ExitStack, request: Request) -> None:
        self._undo = undo
        self._request = request
        self._taken: dict[int, int] = {}
        self.all: set[int] = set()

    def take(self, index: int | None, field: str) -> int | None:
        """The descriptor for a parameter. Raises InvalidArgument if it is no stream."""
        if index is None:
            return None
        if index not in self._taken:
            descriptor = self._request.take_fd(index, field)
            assert descriptor is not None
            self._own(descriptor)
            self._taken[index] = descriptor
        require_stream(self._taken[index], field)
        return self._taken[index]

    def make_pipe(self) -> tuple[int, int]:
        """A pipe of ours: the end to read is the caller's, the other one goes to the command."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self._undo.callback(os.close, reading)
        self._own(writing)
        return reading, writing

    def _own(self, descriptor: int) -> None:
        self._undo.callback(os.close, descriptor)
        self.all.add(descriptor)


def require_room(container: Container, identity: str | None = None) -> None:
    """Raise what keeps the container from starting an exec under that id."""
    container.require_running()
    if len(container.execs) >= MOST:
        raise TooMany(f"{MOST} execs run already")
    if identity is not None and container.execs.is_taken(identity):
        raise Taken("exec", identity)


def begin(
    container: Container,
    request: Request,
    call: CommandCall,
    stdio: tuple[int, int, int],
    given: set[int],
    *,
    identity: str | None = None,
    terminal: str | None = None,
) -> Exec:
    """Have the command started; the descriptors `given` are closed once it has them."""
    return container.execs.begin(
        command_of(container, call, stdio, terminal),
        given,
        identity=identity,
        peer_uid=request.peer.uid,
        timeout=call.timeout,
        grace=call.grace,
    )


@contextmanager
def ending_with_connection(container: Container, exec_: Exec) -> Iterator[None]:
    """The exec ends with the connection that asked for it, unless it is detached by then."""
    try:
        yield
    except BaseException:
        abandon(container, exec_)
        raise


def abandon(container: Container, exec_: Exec) -> None:
    """Whoever asked for the exec is gone."""
    if not exec_.detached:
        container.execs.end(exec_)


def find(container: Container, identity: str) -> Exec:
    """The exec of that id. Raises Missing."""
    exec_ = container.execs.find(identity)
    if exec_ is None:
        raise Missing("exec", identity)
    return exec_
