"""A client that blocks, for programs without trio and for the command line's verbs."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pyinit.varlink.scm import close_all
from pyinit_ctl import registry
from pyinit_ctl.exec_call import DEVNULL, PIPE, Stream, Streams, command_parameters, completed
from pyinit_ctl.registry import Target
from pyinit_ctl.relay import CHUNK, GRACE
from pyinit_ctl.results import (
    CompletedExec,
    Container,
    ExecInfo,
    ExitStatus,
    Process,
    Usage,
    convert,
)
from pyinit_ctl.wire import Link


class BlockingClient:
    """Talks to one control socket: a container's name, or a socket's path with a `/` in it.

    One connection is made when it is first needed and kept; a stream has one of its own.
    Not for use by several threads at once. Every method raises PyinitError: what the
    container answered, ConnectionLost, NotFound where it has ended.
    """

    def __init__(self, target: str | os.PathLike[str] | Target) -> None:
        self.target = target if isinstance(target, Target) else registry.resolve(os.fspath(target))
        self._link: Link | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call makes a new one."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def set_timeout(self, seconds: float | None) -> None:
        """How long an answer may take before ConnectionLost is raised; None for ever."""
        self._connected().set_timeout(seconds)

    def call(self, method: str, /, **parameters: Any) -> dict[str, Any]:
        """Call a method and return the parameters of its reply.

        `method` is one of io.pyinit.Control, or has its interface before it. Parameters
        that are None are left out.
        """
        return self._call(method, parameters)

    def stream(self, method: str, /, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Call a method with `more`: the parameters of each reply, as they come."""
        with Link(registry.connect(self.target)) as link:
            link.send(method, _given(parameters), more=True)
            while True:
                reply = link.receive()
                close_all(reply.fds)
                yield reply.parameters
                if not reply.continues:
                    return

    def await_hang_up(self, seconds: float | None) -> bool:
        """Wait until the init closes the connection of the last call: whether it did."""
        if self._link is None:
            return True
        poll = select.poll()
        poll.register(self._link.fileno(), select.POLLRDHUP)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def describe(self) -> Container:
        """The container and its state."""
        return convert(self.call("Describe"), "container", Container)

    def processes(self) -> list[Process]:
        """Every process inside, the init included."""
        return convert(self.call("ListProcesses"), "processes", list[Process])

    def stats(self) -> Usage:
        """What the container uses now."""
        return convert(self.call("Stats"), "stats", Usage)

    def execs(self) -> list[ExecInfo]:
        """Running and lately ended execs."""
        return convert(self.call("ListExecs"), "execs", list[ExecInfo])

    def wait_exec(self, exec_id: str) -> ExitStatus:
        """How an exec ended, waiting for that."""
        return convert(self.call("WaitExec", id=exec_id), "status", ExitStatus)

    def run(
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
        of the IDL's Command. Raises ExecTimedOut, and with `check` ExecFailed.
        """
        command = command_parameters(argv, env=env, user=user, cwd=cwd, timeout=timeout, **more)
        streams = Streams.open(PIPE if input is not None else stdin, stdout, stderr)
        exchange = _Exchange(streams.ours, input or b"")
        try:
            link = self._connected()
            try:
                link.send("Exec", {"command": command, **streams.indexes}, fds=streams.fds)
                streams.sent()
                reply = exchange.until_reply(link)
            except BaseException:
                self.close()  # ends the command
                raise
            complete = exchange.drain()
        finally:
            streams.sent()
            exchange.close()
        result = completed(argv, reply, exchange.outputs, complete)
        return result.check() if check else result

    def _call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        link = self._connected()
        try:
            link.send(method, _given(parameters))
            reply = link.receive()
        except BaseException:
            self.close()
            raise
        close_all(reply.fds)
        answered: dict[str, Any] = reply.parameters
        return answered

    def _connected(self) -> Link:
        if self._link is None:
            self._link = Link(registry.connect(self.target))
        return self._link


class _Exchange:
    """Input to write and outputs to read while a command runs. Owns its descriptors."""

    def __init__(self, ours: dict[str, int], given: bytes) -> None:
        self.outputs = {name: b"" for name in ours if name != "stdin"}
        self._open = dict(ours)
        self._chunks: dict[str, list[bytes]] = {name: [] for name in self.outputs}
        self._given = memoryview(given)

    def until_reply(self, link: Link) -> dict[str, Any]:
        """Go on until the reply is there, and return its parameters."""
        while (reply := link.pull()) is None:
            ready = self._wait(link.fileno(), None)
            if link.fileno() in ready:
                link.read()
        close_all(reply.fds)
        parameters: dict[str, Any] = reply.parameters
        return parameters

    def drain(self) -> bool:
        """Read what is left, as `relay.drain` does; whether each output came to its end."""
        self._close("stdin")
        for _ in range(2):
            if self._open:
                self._wait(None, 0.0)
        end = time.monotonic() + GRACE
        while self._open and (left := end - time.monotonic()) > 0:
            self._wait(None, left)
        for name, chunks in self._chunks.items():
            self.outputs[name] = b"".join(chunks)
        return not self._open

    def close(self) -> None:
        for name in list(self._open):
            self._close(name)

    def _wait(self, link: int | None, timeout: float | None) -> set[int]:
        poll = select.poll()
        if link is not None:
            poll.register(link, select.POLLIN)
        for name, descriptor in self._open.items():
            poll.register(descriptor, select.POLLOUT if name == "stdin" else select.POLLIN)
        ready = {found for found, _ in poll.poll(None if timeout is None else timeout * 1000)}
        for name, descriptor in list(self._open.items()):
            if descriptor in ready:
                self._move(name, descriptor)
        return ready

    def _move(self, name: str, descriptor: int) -> None:
        if name == "stdin":
            self._write(descriptor)
            return
        data = os.read(descriptor, CHUNK)
        if data:
            self._chunks[name].append(data)
        else:
            self._close(name)

    def _write(self, descriptor: int) -> None:
        try:
            self._given = self._given[os.write(descriptor, self._given[:CHUNK]) :]
        except BrokenPipeError:
            self._given = self._given[:0]  # the command reads no more
        if not self._given:
            self._close("stdin")

    def _close(self, name: str) -> None:
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)


def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}
