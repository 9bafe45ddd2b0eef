"""Methods about services."""

from __future__ import annotations

from typing import Annotated

import trio
from msgspec import Meta, Struct

from pyinit.init.api.container import Nothing, signal_number
from pyinit.init.checks import CheckStatus
from pyinit.init.container import Container
from pyinit.init.faults import Missing
from pyinit.init.life import State
from pyinit.init.server import Method, Request
from pyinit.init.supervisor import Supervisor
from pyinit.init.unit import ServiceStatus
from pyinit.init.waiting import Wait
from pyinit.spec.difference import Difference, difference
from pyinit.spec.order import plan
from pyinit.spec.rules import require_valid
from pyinit.spec.service import Services

Names = Annotated[list[str], Meta(min_length=1)]


class SomeServicesCall(Struct, frozen=True, forbid_unknown_fields=True):
    services: list[str] | None = None


class ChangeCall(Struct, frozen=True, forbid_unknown_fields=True):
    services: Names
    wait: bool | None = None


class SignalServiceCall(Struct, frozen=True, forbid_unknown_fields=True):
    service: str
    signal: str
    all: bool | None = None


class EnableServiceCall(Struct, frozen=True, forbid_unknown_fields=True):
    services: Names
    enabled: bool | None = None


class ReloadServicesCall(Struct, frozen=True, forbid_unknown_fields=True):
    services: Services
    dry_run: bool | None = None


class ListServicesReply(Struct, frozen=True):
    services: list[ServiceStatus]


StartServiceReply = StopServiceReply = RestartServiceReply = ListServicesReply


class ListChecksReply(Struct, frozen=True):
    checks: list[CheckStatus]


class ReloadServicesReply(Struct, frozen=True):
    difference: Difference


class PlanReply(Struct, frozen=True):
    waves: list[tuple[str, ...]]


class WhyReply(Struct, frozen=True):
    state: str
    waits: list[Wait]


class SupervisorMethods:
    """ListServices, StartService, StopService, RestartService, SignalService, EnableService,
    ReloadServices, ListChecks, Plan, Why."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def methods(self) -> dict[str, Method]:
        return {
            "ListServices": Method(SomeServicesCall, self.list_services),
            "StartService": Method(ChangeCall, self.start_service),
            "StopService": Method(ChangeCall, self.stop_service),
            "RestartService": Method(ChangeCall, self.restart_service),
            "SignalService": Method(SignalServiceCall, self.signal_service),
            "EnableService": Method(EnableServiceCall, self.enable_service),
            "ReloadServices": Method(ReloadServicesCall, self.reload_services),
            "ListChecks": Method(SomeServicesCall, self.list_checks),
            "Plan": Method(Nothing, self.plan),
            "Why": Method(Nothing, self.why),
        }

    @property
    def _supervisor(self) -> Supervisor:
        assert self._container.supervisor is not None
        return self._container.supervisor

    def _require(self, names: list[str]) -> None:
        known = self._supervisor.services
        for name in names:
            if name not in known:
                raise Missing("service", name)

    async def list_services(self, request: Request, call: SomeServicesCall) -> None:
        names = call.services or []
        self._require(names)
        await request.reply(ListServicesReply(self._supervisor.status(*names)))

    async def start_service(self, request: Request, call: ChangeCall) -> None:
        self._container.require_thawed()
        self._require(call.services)
        self._supervisor.start(*call.services)
        await self._reply_settled(request, call)

    async def stop_service(self, request: Request, call: ChangeCall) -> None:
        self._require(call.services)
        self._supervisor.stop(*call.services)
        await self._reply_settled(request, call)

    async def restart_service(self, request: Request, call: ChangeCall) -> None:
        self._container.require_thawed()
        self._require(call.services)
        self._supervisor.restart(*call.services)
        await self._reply_settled(request, call)

    async def _reply_settled(self, request: Request, call: ChangeCall) -> None:
        """What became of them; with `wait` false what they are at now."""
        if call.wait is not False:
            await self._supervisor.settle(*call.services)
        await request.reply(ListServicesReply(self._supervisor.status(*call.services)))

    async def signal_service(self, request: Request, call: SignalServiceCall) -> None:
        self._require([call.service])
        number = signal_number(call.signal)
        self._supervisor.signal(call.service, number, whole=bool(call.all))
        await request.reply()

    async def enable_service(self, request: Request, call: EnableServiceCall) -> None:
        self._require(call.services)
        for name in call.services:
            self._supervisor.enable(name, enabled=call.enabled is not False)
        await request.reply()

    async def reload_services(self, request: Request, call: ReloadServicesCall) -> None:
        self._container.require_thawed()
        if call.dry_run:
            change = difference(self._supervisor.services, require_valid(call.services))
        else:
            change = self._supervisor.reload(call.services)
        await request.reply(ReloadServicesReply(change))

    async def list_checks(self, request: Request, call: SomeServicesCall) -> None:
        names = call.services or []
        self._require(names)
        await request.reply(ListChecksReply(self._supervisor.checks(*names)))

    async def plan(self, request: Request, _call: Nothing) -> None:
        await request.reply(PlanReply(plan(self._supervisor.services)))

    async def why(self, request: Request, _call: Nothing) -> None:
        waits = [*self._main_waits(), *self._supervisor.why(), *self._last_waits()]
        await request.reply(WhyReply(self._container.state, waits))

    def _main_waits(self) -> list[Wait]:
        """The command, which is asked first to end, and starts last."""
        container = self._container
        main = container.main
        if container.state == "starting" and container.config.command:
            return [
                Wait("", State.WAITING, "the command starts when services are up", (), 0.0, None)
            ]
        if container.state != "stopping" or main is None or main.status is not None:
            return []
        what = f"the command (process {main.pid}) has been asked to end, and has not"
        return [self._stopping(what)]

    def _last_waits(self) -> list[Wait]:
        """What is left when services and command have gone."""
        container = self._container
        if container.state != "stopping" or not container.services_over.is_set():
            return []
        return [
            self._stopping(f"process {stat.pid} ({_printable(stat.name)}) has not ended")
            for stat in container.table.stats()
            if stat.pid != 1 and stat.state not in "ZX"
        ]

    def _stopping(self, what: str) -> Wait:
        container = self._container
        now = trio.current_time()
        left = max(0.0, container.deadline - now)
        return Wait("", State.STOPPING, what, (), now - container.stage_began, left)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
