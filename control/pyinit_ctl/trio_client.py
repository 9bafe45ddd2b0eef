"""A client for trio: calls, streams, and commands run in a container.

async with Client("web") as client:
    done = await client.run(["psql", "-c", "select 1"], user="postgres", check=True)
    async with client.popen(["cat"]) as process:
        await process.stdin.send_all(b"hello")
        await process.stdin.aclose()
        print(await process.stdout.receive_some())
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

import trio

from pyinit.errors import ProtocolError, PyinitError
from pyinit.spec.signals import parse_signal
from pyinit.varlink.scm import close_all
from pyinit_ctl import registry
from pyinit_ctl.exec_call import (
    DEVNULL,
    PIPE,
    STDOUT,
    Stream,
    Streams,
    command_parameters,
    completed,
)
from pyinit_ctl.registry import Target
from pyinit_ctl.relay import CHUNK, GRACE
from pyinit_ctl.replies import return_code, text
from pyinit_ctl.results import (
    CompletedExec,
    Container,
    ExecInfo,
    ExecTimedOut,
    ExitStatus,
    Process,
    Usage,
    convert,
)
from pyinit_ctl.trio_wire import TrioLink


class Client:
    """Talks to one control socket: a container's name, or a socket's path with a `/` in it.

    Any number of tasks may use it at once: each call and each running command has a
    connection of its own, and idle ones are used again. Leaving the `async with` closes
    those. Every method raises PyinitError: what the container answered, ConnectionLost,
    NotFound where it has ended.
    """

    def __init__(self, target: str | os.PathLike[str] | Target) -> None:
        self.target = target if isinstance(target, Target) else registry.resolve(os.fspath(target))
        self._idle: list[TrioLink] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are idle; those in use are closed by their users."""
        while self._idle:
            self._idle.pop().close()

    async def call(self, method: str, /, **parameters: Any) -> dict[str, Any]:
        """Call a method and return the parameters of its reply.

        `method` is one of io.pyinit.Control, or has its interface before it. Parameters
        that are None are left out.
        """
        async with self._connection() as link:
            await link.send(method, _given(parameters))
            reply = await link.receive()
        close_all(reply.fds)
        answered: dict[str, Any] = reply.parameters
        return answered

    @asynccontextmanager
    async def stream(
        self, method: str, /, **parameters: Any
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Call a method with `more`: an iterator over the parameters of its replies.

        async with client.stream("Stats", interval=1.0) as answers:
            async for answer in answers: ...
        """
        async with self._connection() as link:
            await link.send(method, _given(parameters), more=True)
            yield _replies(link)

    async def describe(self) -> Container:
        """The container and its state."""
        return convert(await self.call("Describe"), "container", Container)

    async def processes(self) -> list[Process]:
        """Every process inside, the init included."""
        return convert(await self.call("ListProcesses"), "processes", list[Process])

    async def stats(self) -> Usage:
        """What the container uses now."""
        return convert(await self.call("Stats"), "stats", Usage)

    async def execs(self) -> list[ExecInfo]:
        """Running and lately ended execs."""
        return convert(await self.call("ListExecs"), "execs", list[ExecInfo])

    async def wait_exec(self, exec_id: str) -> ExitStatus:
        """How an exec ended, waiting for that."""
        return convert(await self.call("WaitExec", id=exec_id), "status", ExitStatus)

    async def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002 (as in subprocess.run)
        stdin: Stream = DEVNULL,
        stdout: Stream = PIPE,
        stderr: Stream = PIPE,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: str | None = None,
        timeout: float | None = None,
        check: bool = False,
        **more: Any,
    ) -> CompletedExec:
        """Run a command to its end, its output captured, as `subprocess.run` would.

        stdin, stdout and stderr are PIPE, DEVNULL (stderr: STDOUT too) or a pipe or socket,
        which the command then has itself. `timeout` in seconds; `more` are further members
        of the IDL's Command. Being cancelled ends the command. Raises ExecTimedOut, and with
        `check` ExecFailed.
        """
        command = command_parameters(argv, env=env, user=user, cwd=cwd, timeout=timeout, **more)
        streams = Streams.open(PIPE if input is not None else stdin, stdout, stderr)
        capture = _Capture(streams.ours, input or b"") if streams.ours else None
        try:
            async with self._connection() as link:
                await link.send("Exec", {"command": command, **streams.indexes}, fds=streams.fds)
                streams.sent()
                if capture is None:
                    reply, complete = (await link.receive()).parameters, True
                else:
                    reply, complete = await capture.until(link)
        finally:
            streams.sent()
            if capture is not None:
                capture.close()
        outputs = {} if capture is None else capture.outputs()
        result = completed(argv, reply, outputs, complete)
        return result.check() if check else result

    @asynccontextmanager
    async def popen(
        self,
        argv: Sequence[str],
        *,
        stdin: Stream = PIPE,
        stdout: Stream = PIPE,
        stderr: Stream = PIPE,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: str | None = None,
        timeout: float | None = None,
        **more: Any,
    ) -> AsyncIterator[ExecProcess]:
        """Start a command and talk to it. Leaving the `async with` ends it if it still runs.

        Arguments as for `run`. The process has trio streams for what is PIPE.
        """
        command = command_parameters(argv, env=env, user=user, cwd=cwd, timeout=timeout, **more)
        streams = Streams.open(stdin, stdout, stderr)
        pipes = {name: trio.lowlevel.FdStream(fd) for name, fd in streams.ours.items()}
        try:
            async with self._connection() as link:
                await link.send(
                    "Exec", {"command": command, **streams.indexes}, more=True, fds=streams.fds
                )
                streams.sent()
                started = await link.receive()
                close_all(started.fds)
                yield ExecProcess(self, link, argv, started.parameters, pipes)
        finally:
            streams.sent()
            for pipe in pipes.values():
                await trio.aclose_forcefully(pipe)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[TrioLink]:
        """A connection for one call, kept for the next if that call came to its end."""
        link = self._take_idle() or await TrioLink.connect(self.target)
        try:
            yield link
        except BaseException:
            link.close()
            raise
        if link.is_reusable():
            self._idle.append(link)
        else:
            link.close()

    def _take_idle(self) -> TrioLink | None:
        while self._idle:
            link = self._idle.pop()
            if link.is_reusable():
                return link
            link.close()
        return None


class ExecProcess:
    """A command that runs in a container; what `Client.popen` gives.

    `id` names the exec in every call about it, `pid` is its number inside. `stdin`, `stdout`
    and `stderr` are trio streams, or None where they are no PIPE. `returncode` is None until
    `wait` has returned; negative for a signal.
    """

    def __init__(
        self,
        client: Client,
        link: TrioLink,
        argv: Sequence[str],
        started: Mapping[str, Any],
        pipes: Mapping[str, trio.lowlevel.FdStream],
    ) -> None:
        if started.get("event") != "started":
            raise ProtocolError("the container answered out of order")
        self.args = list(argv)
        self.id = text(started, "id")
        self.pid: object = started.get("pid")
        self.stdin = pipes.get("stdin")
        self.stdout = pipes.get("stdout")
        self.stderr = pipes.get("stderr")
        self.returncode: int | None = None
        self._client = client
        self._link = link
        self._waiting = trio.Lock()

    async def wait(self) -> int:
        """The return code, once the command has ended. Raises ExecTimedOut, ConnectionLost."""
        async with self._waiting:
            if self.returncode is None:
                reply = await self._link.receive()
                close_all(reply.fds)
                if reply.continues or reply.parameters.get("event") != "exited":
                    raise ProtocolError("the container answered out of order")
                self.returncode = return_code(reply.parameters.get("status"))
                if reply.parameters.get("timed_out") is True:
                    raise ExecTimedOut(CompletedExec(self.args, self.returncode))
        return self.returncode

    async def send_signal(self, number: int | str, *, whole_tree: bool = False) -> None:
        """Signal the command by number or name, or with `whole_tree` all it has started."""
        name = str(int(number)) if isinstance(number, int) else number
        parse_signal(name)
        await self._client.call("SignalExec", id=self.id, signal=name, all=whole_tree or None)


class _Capture:
    """Input to write and outputs to read while a command runs. Owns the pipes."""

    def __init__(self, ours: Mapping[str, int], given: bytes) -> None:
        self._pipes = dict(ours)
        self._given = given
        self._feeding = trio.CancelScope()
        self._chunks: dict[str, list[bytes]] = {name: [] for name in ours if name != "stdin"}

    async def until(self, link: TrioLink) -> tuple[dict[str, Any], bool]:
        """The parameters of the reply, and whether each output came to its end.

        After the reply the outputs have GRACE seconds: a process that the command left
        behind may hold them for ever.
        """
        failure: PyinitError | None = None
        async with trio.open_nursery() as nursery:
            for name in self._pipes:
                nursery.start_soon(self._feed if name == "stdin" else partial(self._read, name))
            try:
                reply = await link.receive()
            except PyinitError as error:
                # Out of the nursery as what it is, not in a group.
                failure = error
                nursery.cancel_scope.cancel()
            self._feeding.cancel()
            nursery.cancel_scope.deadline = trio.current_time() + GRACE
        if failure is not None:
            raise failure
        close_all(reply.fds)
        return reply.parameters, not any(name in self._pipes for name in self._chunks)

    def outputs(self) -> dict[str, bytes]:
        return {name: b"".join(chunks) for name, chunks in self._chunks.items()}

    def close(self) -> None:
        for name in list(self._pipes):
            self._close(name)

    async def _feed(self) -> None:
        rest = memoryview(self._given)
        descriptor = self._pipes["stdin"]
        with self._feeding:
            while rest:
                await trio.lowlevel.wait_writable(descriptor)
                try:
                    rest = rest[os.write(descriptor, rest[:CHUNK]) :]
                except BrokenPipeError:
                    break  # the command reads no more
        self._close("stdin")

    async def _read(self, name: str) -> None:
        descriptor, chunks = self._pipes[name], self._chunks[name]
        while True:
            await trio.lowlevel.wait_readable(descriptor)
            data = os.read(descriptor, CHUNK)
            if not data:
                break
            chunks.append(data)
        self._close(name)

    def _close(self, name: str) -> None:
        descriptor = self._pipes.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)


async def _replies(link: TrioLink) -> AsyncIterator[dict[str, Any]]:
    while True:
        reply = await link.receive()
        close_all(reply.fds)
        yield reply.parameters
        if not reply.continues:
            return


def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


__all__ = ["DEVNULL", "PIPE", "STDOUT", "Client", "ExecProcess"]
