"""Methods about execs: what runs, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
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
            "WaitExec": Method(WaitExecCall, self.wait_exec, self.wait_at_once),
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
        if call.terminal is not None:
            return self._begin_in_terminal(request, call, call.terminal)
        given = Given(request)
        try:
            return self._begin_with_descriptors(request, call, given)
        except BaseException:
            given.close()
            raise

    def _begin_with_descriptors(self, request: Request, call: ExecCall, given: Given) -> Exec:
        stdin = given.take(call.stdin, "stdin")
        stdout = given.take(call.stdout, "stdout")
        stderr = given.take(call.stderr, "stderr")
        ours: dict[int, int] = {}
        if call.detach:
            if stdout is None:
                ours[STDOUT], stdout = given.make_pipe()
            if stderr is None:
                ours[STDERR], stderr = given.make_pipe()
        null = self._container.devnull
        stdio = (
            null if stdin is None else stdin,
            null if stdout is None else stdout,
            null if stderr is None else stderr,
        )
        exec_ = begin(
            self._container, request, call.command, stdio, given.descriptors(), identity=call.id
        )
        if ours:
            output = self._container.execs.keep_output(exec_)
            for stream, descriptor in ours.items():
                output.drain(descriptor, stream)
        return exec_

    def _begin_in_terminal(self, request: Request, call: ExecCall, size: TerminalCall) -> Exec:
        container = self._container
        owner = user_of(container, call.command).uid
        with ExitStack() as undo:
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
            undo.pop_all()  # the exec's own from here on
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

    def wait_at_once(self, request: Request, call: WaitExecCall) -> bool:
        """There is nobody to wait for, or it has ended already."""
        exec_ = find(self._container, call.id)
        if exec_.status is None or not exec_.has_gone:
            return False
        request.answer_later(lambda: None)
        request.answer(WaitExecReply(exec_.status, exec_.timed_out))
        return True

    async def wait_exec(self, request: Request, call: WaitExecCall) -> None:
        exec_ = find(self._container, call.id)
        status = await exec_.wait()
        await request.reply(WaitExecReply(status, exec_.timed_out))


class Given:
    """The descriptors of a call on their way to the command."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._taken: dict[int, int] = {}
        self._made: list[int] = []
        self._ours: list[int] = []

    def take(self, index: int | None, field: str) -> int | None:
        """The descriptor for a parameter, claimed once however many names it has.

        Raises InvalidArgument if it is no stream.
        """
        if index is None:
            return None
        descriptor = self._taken.get(index)
        if descriptor is None:
            descriptor = self._request.take_fd(index, field)
            assert descriptor is not None
            self._taken[index] = descriptor
            require_stream(descriptor, field)
        return descriptor

    def make_pipe(self) -> tuple[int, int]:
        """A pipe of ours: the end to read is the caller's, the other one goes to the command."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self._ours.append(reading)
        self._made.append(writing)
        return reading, writing

    def descriptors(self) -> list[int]:
        """Those that are for the command, and the command's alone once it has them."""
        return [*self._taken.values(), *self._made]

    def close(self) -> None:
        """There will be no command: let go of all."""
        for descriptor in (*self.descriptors(), *self._ours):
            os.close(descriptor)


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
    given: Iterable[int],
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
