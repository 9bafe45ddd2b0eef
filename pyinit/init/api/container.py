"""Methods about the container as a whole."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import trio
from msgspec import Meta, Struct

import pyinit
from pyinit.init.container import Container, hostname
from pyinit.init.ending import broadcast
from pyinit.init.faults import InvalidArgument
from pyinit.init.server import Method, Request
from pyinit.init.signals import SHUTDOWN
from pyinit.spec.signals import parse_signal
from pyinit.spec.status import ExitStatus

Seconds = Annotated[float, Meta(ge=0, le=1e9)]


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class Description(Struct, frozen=True):
    """The IDL's Container."""

    name: str
    hostname: str
    state: str
    version: str
    command: tuple[str, ...]
    started: float
    uptime: float
    execs: int
    services: int
    cgroup: str
    pid: int
    main_pid: int | None = None


class DescribeReply(Struct, frozen=True):
    container: Description


class KillCall(Struct, frozen=True, forbid_unknown_fields=True):
    signal: str


class ShutdownCall(Struct, frozen=True, forbid_unknown_fields=True):
    timeout: Seconds | None = None


class WaitReply(Struct, frozen=True):
    status: ExitStatus


class ContainerMethods:
    """Describe, Kill, Shutdown, Wait, Freeze, Thaw."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def methods(self) -> dict[str, Method]:
        return {
            "Describe": Method(Nothing, self.describe),
            "Kill": Method(KillCall, self.kill),
            "Shutdown": Method(ShutdownCall, self.shutdown),
            "Wait": Method(Nothing, self.wait),
            "Freeze": Method(Nothing, self.freeze),
            "Thaw": Method(Nothing, self.thaw),
        }

    async def describe(self, request: Request, _call: Nothing) -> None:
        container = self._container
        await request.reply(
            DescribeReply(
                Description(
                    name=container.config.name,
                    hostname=hostname(),
                    state=container.state,
                    version=pyinit.__version__,
                    command=container.config.command,
                    started=container.started,
                    uptime=time.monotonic() - container.started_monotonic,
                    main_pid=container.main.pid if container.main else None,
                    execs=len(container.execs),
                    services=len(container.supervisor.services) if container.supervisor else 0,
                    cgroup=cgroup_kind(container),
                    pid=os.getpid(),
                )
            )
        )

    async def kill(self, request: Request, call: KillCall) -> None:
        number = signal_number(call.signal)
        container = self._container
        if container.main is not None and container.main.status is None:
            os.kill(container.main.pid, number)
        elif number in SHUTDOWN:
            container.request_end()
        else:
            broadcast(container.table, number)
        await request.reply()

    async def shutdown(self, request: Request, call: ShutdownCall) -> None:
        self._container.request_end(call.timeout)
        await request.reply()

    async def wait(self, request: Request, _call: Nothing) -> None:
        await self._container.over.wait()
        assert self._container.status is not None
        with end_waits():
            await request.reply(WaitReply(self._container.status))

    async def freeze(self, request: Request, _call: Nothing) -> None:
        await self._container.freeze()
        await request.reply()

    async def thaw(self, request: Request, _call: Nothing) -> None:
        await self._container.thaw()
        await request.reply()


@contextmanager
def end_waits() -> Iterator[None]:
    """The end of PID 1 waits for this last answer, but not for a client that reads slowly."""
    with trio.CancelScope(shield=True), trio.move_on_after(1):
        yield


def signal_number(text: str) -> int:
    """The signal that a parameter names. Raises InvalidArgument."""
    try:
        return parse_signal(text)
    except Exception as error:
        raise InvalidArgument("signal", str(error)) from None


def cgroup_kind(container: Container) -> str:
    """v1 (also where v2 is mounted beside it), v2 or none."""
    groups = container.config.groups
    if groups is None:
        return "none"
    return "v1" if groups.legacy() else "v2"
