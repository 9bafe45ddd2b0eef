"""Methods about processes, and what they use."""

from __future__ import annotations

import os
from typing import Annotated

import trio
from msgspec import Meta, Struct

from pyinit.errors import UsageError
from pyinit.init.api.container import Nothing, signal_number
from pyinit.init.container import Container
from pyinit.init.faults import InvalidArgument, Missing
from pyinit.init.processes import Process
from pyinit.init.server import Method, Request
from pyinit.init.stats import Stats


class ListProcessesReply(Struct, frozen=True):
    processes: list[Process]


class SignalProcessCall(Struct, frozen=True, forbid_unknown_fields=True):
    pid: int
    signal: str


class StatsCall(Struct, frozen=True, forbid_unknown_fields=True):
    interval: Annotated[float, Meta(ge=0.05, le=1e6)] | None = None


class StatsReply(Struct, frozen=True):
    stats: Stats


class ProcessMethods:
    """ListProcesses, SignalProcess, Stats."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def methods(self) -> dict[str, Method]:
        return {
            "ListProcesses": Method(Nothing, self.list_processes),
            "SignalProcess": Method(SignalProcessCall, self.signal_process),
            "Stats": Method(StatsCall, self.stats),
        }

    async def list_processes(self, request: Request, _call: Nothing) -> None:
        processes = self._container.table.describe(self._user_name)
        await request.reply(ListProcessesReply(processes))

    def _user_name(self, uid: int) -> str:
        try:
            return self._container.users.lookup(str(uid)).name
        except UsageError:
            return ""

    async def signal_process(self, request: Request, call: SignalProcessCall) -> None:
        number = signal_number(call.signal)
        if call.pid <= 1 or call.pid == os.getpid():
            raise InvalidArgument("pid", "a process other than init, by its number inside")
        try:
            os.kill(call.pid, number)
        except (ProcessLookupError, OverflowError):
            raise Missing("process", str(call.pid)) from None
        await request.reply()

    async def stats(self, request: Request, call: StatsCall) -> None:
        while request.more and call.interval is not None:
            await request.reply(StatsReply(self._container.stats.read()), continues=True)
            await trio.sleep(call.interval)
        await request.reply(StatsReply(self._container.stats.read()))
