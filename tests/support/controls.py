"""A PID 1 of our own making, and a plain client that speaks to its socket."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pyinit.container import clearing
from pyinit.container.launch import Container, launch
from pyinit.spec.container import ContainerSpec
from pyinit.varlink import lean_json, scm
from pyinit.varlink.connection import Client
from pyinit.varlink.envelope import Reply

PATIENCE_S = 20.0
INTERFACE = "io.pyinit.Control"


def until(reached: Callable[[], object]) -> None:
    """Return once it holds, for what nobody tells: it is asked again and again, up to a limit."""
    limit = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < limit, "not in time"
        time.sleep(0.01)


class Caller:
    """One connection; calls block, at most PATIENCE_S for each piece of an answer."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(str(path))
        self._client = Client(lean_json)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(
        self, method: str, parameters: dict[str, Any], fds: Sequence[int] = (), **options: bool
    ) -> None:
        name = f"{INTERFACE}.{method}"
        scm.send(
            self.socket, self._client.call(name, parameters, fds=len(fds), **options), list(fds)
        )

    def receive(self) -> Reply:
        """The next reply, errors included."""
        while (reply := self._client.next_reply()) is None:
            data, fds = scm.recv(self.socket, 1 << 16)
            self._client.feed(data, fds)
        return reply

    def rest(self) -> bytes:
        """After an upgrade: the raw bytes that came along with its answer."""
        return self._client.take_rest()

    def call(self, method: str, fds: Sequence[int] = (), **parameters: Any) -> Any:
        """The parameters of the one answer; an error fails."""
        self.send(method, parameters, fds)
        reply = self.receive()
        assert reply.error is None, (reply.error, reply.parameters)
        return reply.parameters

    def fail(self, method: str, fds: Sequence[int] = (), **parameters: Any) -> tuple[str, Any]:
        """The name and the parameters of the error that answers the call."""
        self.send(method, parameters, fds)
        return self._failure()

    def fail_more(self, method: str, **parameters: Any) -> tuple[str, Any]:
        """The same for a call that says `more`."""
        self.send(method, parameters, more=True)
        return self._failure()

    def _failure(self) -> tuple[str, Any]:
        reply = self.receive()
        assert reply.error is not None, reply.parameters
        return reply.error.rpartition(".")[2], reply.parameters

    def run(self, *argv: str, input: str = "", **command: Any) -> Any:  # noqa: A002
        return self.call("Run", command={"argv": argv, **command}, input=input)


class Init:
    """A launched container."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.path = container.control

    def caller(self) -> Caller:
        return Caller(self.path)

    def held(self) -> dict[str, int]:
        """What PID 1 holds: descriptors, children of any state, threads."""
        proc = Path(f"/proc/{self.container.pid}")
        children = sum(
            len((task / "children").read_text().split()) for task in (proc / "task").iterdir()
        )
        return {
            "descriptors": len(list((proc / "fd").iterdir())),
            "children": children,
            "threads": len(list((proc / "task").iterdir())),
            "leaves": len(self.leaves()),
        }

    def leaves(self) -> list[str]:
        """The cgroups of its commands, on v1 those that wait for one included."""
        for folder, below, _ in os.walk("/sys/fs/cgroup/freezer"):
            if folder.endswith(f"/pyinit/{self.container.name}/payload"):
                return sorted(below)
        return []

    def ticks(self) -> int:
        """CPU time of PID 1 so far, in clock ticks (proc_pid_stat(5))."""
        text = Path(f"/proc/{self.container.pid}/stat").read_text()
        return sum(map(int, text.rpartition(")")[2].split()[11:13]))

    def resident(self) -> int:
        """Bytes of memory that PID 1 alone uses now."""
        lines = Path(f"/proc/{self.container.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))

    def log(self) -> str:
        return (self.container.folder / "logs" / "init.log").read_text()


def settled(init: Init) -> dict[str, int]:
    """What PID 1 holds when nothing goes on: the same at two looks, a moment apart.

    A spawning thread makes the next command's cgroup when this one runs already.
    """
    limit = time.monotonic() + PATIENCE_S
    before: dict[str, int] = {}
    while (now := init.held()) != before:
        assert time.monotonic() < limit
        before = now
        time.sleep(0.1)
    return now


@contextmanager
def running(folder: Path, name: str, *command: str, **spec: Any) -> Iterator[Init]:
    """A container whose folder is below `folder`, ended and cleared away at the end."""
    before = os.environ.get("PYINIT_RUN_DIR")
    os.environ["PYINIT_RUN_DIR"] = str(folder)
    try:
        container = launch(ContainerSpec(name=name, command=command, **spec))
        try:
            yield Init(container)
        finally:
            signal.pidfd_send_signal(container.pidfd, signal.SIGKILL)
            select.select([container.pidfd], [], [], PATIENCE_S)
            os.waitpid(container.pid, 0)
            container.close()
            clearing.remove(container.folder)
    finally:
        if before is None:
            del os.environ["PYINIT_RUN_DIR"]
        else:
            os.environ["PYINIT_RUN_DIR"] = before
