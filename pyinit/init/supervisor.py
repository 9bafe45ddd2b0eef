"""The services of a container: started in order, watched, stopped in reverse order.

The machine in `pyinit.init.lifecycle` decides about each service alone, the conductor
about what lies between them, the runner does the I/O. Here is what others may ask for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import trio
from msgspec.structs import replace

from pyinit.errors import NotFound, UsageError
from pyinit.init import lifecycle_events as ev
from pyinit.init.checks import CheckStatus
from pyinit.init.conductor import Conductor, OnEvent
from pyinit.init.dependencies import Dependencies
from pyinit.init.life import RESTING, State
from pyinit.init.lifecycle_events import Event
from pyinit.init.ports import Processes
from pyinit.init.runner import Runner
from pyinit.init.unit import ServiceStatus, Unit
from pyinit.init.waiting import Wait, waits
from pyinit.spec.difference import Difference, ServiceChange, difference
from pyinit.spec.rules import require_valid
from pyinit.spec.service import Services, ServiceSpec

_SETTLED = RESTING | {State.RUNNING, State.BACKOFF, State.STUCK}


class Supervisor:
    """Runs `services` by way of `processes`; all but status takes `run` to be running.

    `on_event` is called for everything that is worth a line in the event log. Sockets for
    sd_notify are made in `notify_folder`. With `exit_when_done` the container ends once
    every service has ended by itself. Raises SpecError.
    """

    def __init__(
        self,
        services: Services,
        processes: Processes,
        *,
        on_event: OnEvent,
        notify_folder: str = "/run/pyinit",
        exit_when_done: bool = True,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._conductor = Conductor(
            require_valid(services),
            on_event=on_event,
            on_end_asked=self.shutdown,
            on_quiet=self._quiet,
            random=random,
        )
        self._processes = processes
        self._on_event = on_event
        self._notify_folder = notify_folder
        self._exit_when_done = exit_when_done
        self._ending = False
        self._exit_status: int | None = None
        self._over = trio.Event()
        self.started = trio.Event()
        """Set once calls are taken."""

    @property
    def _units(self) -> dict[str, Unit]:
        return self._conductor.units

    async def run(self, *, start: bool = True) -> int:
        """Serve until the container is to end and every service has ended.

        Returns the status that the container shall exit with. `start` starts the enabled
        services.
        """
        conductor = self._conductor
        try:
            async with trio.open_nursery() as nursery:
                conductor.use(
                    Runner(
                        self._processes,
                        nursery,
                        self._notify_folder,
                        conductor.post,
                        conductor.tell,
                    )
                )
                nursery.start_soon(conductor.timers.run)
                self.started.set()
                if start:
                    self.start_all()
                await self._over.wait()
                nursery.cancel_scope.cancel()
        finally:
            for unit in self._units.values():
                unit.close()
        return self.exit_status

    # What others ask for.

    def start_all(self) -> None:
        """Start every enabled service, and what those pull in."""
        names = (n for n, unit in self._units.items() if unit.enabled and not unit.removed)
        self.start(*names)

    def start(self, *names: str) -> None:
        """Start services, and what they require and want. Raises NotFound, UsageError."""
        self._bring_up(names, ev.Start())

    def restart(self, *names: str) -> None:
        """Stop and start services, or just start them. Raises NotFound, UsageError."""
        self._bring_up(names, ev.Restart())

    def _bring_up(self, names: tuple[str, ...], event: Event) -> None:
        for name in names:
            self._unit(name)
        self._refuse_when_ending()
        self._queue_up(names, event)
        self._conductor.drain()

    def _queue_up(self, names: tuple[str, ...], event: Event) -> None:
        conductor, named = self._conductor, set(names)
        pulled_in = dict.fromkeys(conductor.dependencies.pulled_in(names))
        conductor.keep_up(pulled_in)
        for unit in (self._units[name] for name in pulled_in):
            unit.stopped = False
            if unit.name in named:
                conductor.queue.append((unit, event))
            elif unit.life.state is not State.COMPLETED or unit.spec.type != "oneshot":
                # What a oneshot has done once is done for those who need it.
                conductor.queue.append((unit, ev.Start()))

    def _refuse_when_ending(self) -> None:
        if self._ending:
            raise UsageError("the container is shutting down: its services only stop now")

    def stop(self, *names: str) -> None:
        """Stop services, and before them those that require them. Raises NotFound."""
        for name in names:
            self._unit(name)
        down = self._conductor.dependencies.dragged_down(names)
        for name in down:
            self._units[name].stopped = True
        self._conductor.take_down(down)
        self._conductor.drain()

    def signal(self, name: str, number: int, *, whole: bool = False) -> None:
        """Signal a service's main process, or all of it. Raises NotFound, UsageError."""
        unit = self._unit(name)
        if unit.process is None:
            raise UsageError(f"service {name} is {unit.life.state}: there is no process to signal")
        self._conductor.runner.signal(unit, number, whole=whole)

    def enable(self, name: str, *, enabled: bool = True) -> None:
        """Whether `start_all` starts it, until a reload says otherwise. Raises NotFound."""
        self._unit(name).enabled = enabled

    async def settle(self, *names: str) -> list[ServiceStatus]:
        """Wait until each service has come up, gone down, or waits for a restart."""
        units = self._named(names)
        for unit in units:
            await unit.wait_until(self._is_settled)
        return [unit.status(trio.current_time()) for unit in units]

    def _is_settled(self, unit: Unit) -> bool:
        return unit.life.state in _SETTLED and unit.name not in self._conductor.stop_order

    # The end.

    def shutdown(self, status: int | None = None, reason: str = "") -> None:
        """Stop everything, in reverse order, and end `run`. The first call decides.

        Without a `status`, the container's is that of the first service that has failed.
        """
        if self._ending:
            return
        self._exit_status = self._status_of_failures() if status is None else status
        self._ending = True
        self._on_event("shutdown", "", {"status": self._exit_status, "reason": reason})
        self._conductor.take_down(list(self._units))
        self._conductor.drain()

    def hurry(self) -> None:
        """Cut short what is left of every grace, once a shutdown has begun."""
        if not self._ending:
            return
        self._conductor.hurried = True
        for unit in self._conductor.up:
            self._conductor.release(unit)
            self._conductor.queue += ((unit, ev.Stop()), (unit, ev.Hurry()))
        self._conductor.drain()

    def _quiet(self) -> None:
        """Nothing is up."""
        if self._exit_when_done and not self._ending and self._all_ended_by_themselves():
            self.shutdown(reason="every service has ended")
        if self._ending:
            self._over.set()

    def _all_ended_by_themselves(self) -> bool:
        units = self._units.values()
        ended = any(unit.life.state is not State.INACTIVE for unit in units)
        return ended and not any(unit.stopped for unit in units)

    @property
    def exit_status(self) -> int:
        """What the container exits with, as far as its services go."""
        return self._status_of_failures() if self._exit_status is None else self._exit_status

    def _status_of_failures(self) -> int:
        for unit in self._units.values():
            verdict = unit.life.verdict
            if verdict is not None and unit.failing and unit.spec.on_failure != "ignore":
                return verdict.status
        return 0

    # What there is to know.

    @property
    def services(self) -> Services:
        """The specifications in force, or about to be."""
        return {name: unit.planned_spec for name, unit in self._units.items() if not unit.removed}

    def status(self, *names: str) -> list[ServiceStatus]:
        """Of the named services, or of all. Raises NotFound."""
        now = trio.current_time()
        return [unit.status(now) for unit in self._named(names)]

    def checks(self, *names: str) -> list[CheckStatus]:
        """Every check of the named services, or of all. Raises NotFound."""
        return [record.status() for unit in self._named(names) for record in unit.checks.values()]

    def why(self) -> list[Wait]:
        """What start-up, or shutdown, is waiting for."""
        return waits(self._units, self._conductor.stop_order, trio.current_time())

    def _named(self, names: Iterable[str]) -> list[Unit]:
        return [self._unit(name) for name in names] or list(self._units.values())

    def _unit(self, name: str) -> Unit:
        unit = self._units.get(name)
        if unit is None or unit.removed:
            raise NotFound(f"no service {name}: see pyinit-ctl services")
        return unit

    # Another set of services.

    def reload(self, services: Services) -> Difference:
        """Run `services` in place of the present ones; restarts only what it has to.

        A changed service that has ended or failed is started afresh, one that was stopped
        stays so. Raises SpecError and UsageError, and then nothing has changed.
        """
        self._refuse_when_ending()
        change = difference(self.services, require_valid(services))
        for name in change.removed:
            self._units[name].removed = True
        self._conductor.take_down(change.removed)
        for name in change.added:
            self._add(name, services[name])
        for changed in change.changed:
            self._change(changed, services[changed.name])
        self._conductor.reorder(Dependencies(self._ordered()))
        self._conductor.moved |= {self._units[name]: None for name in change.removed}
        self._on_event("reloaded", "", {"changed": bool(change)})
        self._queue_up(self._wanted_after(change), ev.Start())
        self._conductor.drain()
        return change

    def _wanted_after(self, change: Difference) -> tuple[str, ...]:
        """What is new, and what was changed and is not down: that may need others now."""
        added = (name for name in change.added if self._units[name].enabled)
        changed = (
            one.name
            for one in change.changed
            if self._units[one.name].up or (one.restart and self._has_ended(one.name))
        )
        return (*added, *(name for name in changed if not self._units[name].stopped))

    def _has_ended(self, name: str) -> bool:
        return self._units[name].life.state in (State.COMPLETED, State.FAILED)

    def _add(self, name: str, spec: ServiceSpec) -> None:
        unit = self._units.get(name)
        if unit is None:
            self._units[name] = Unit(name, spec, spec.startup == "enabled")
            return
        # It was removed before, and is still on its way down.
        unit.removed, unit.next_spec, unit.enabled = False, spec, spec.startup == "enabled"

    def _change(self, changed: ServiceChange, spec: ServiceSpec) -> None:
        unit = self._units[changed.name]
        unit.enabled = spec.startup == "enabled"
        self._conductor.moved[unit] = None
        if not changed.restart and unit.next_spec is None:
            unit.spec = spec
            self._conductor.runner.end_checks(unit)
            return
        unit.next_spec = spec

    def _ordered(self) -> Services:
        """The new services, and those that are on their way out, in an order of their own."""
        going = {name for name, unit in self._units.items() if unit.removed}
        return {
            name: _among(unit.spec, going) if name in going else unit.planned_spec
            for name, unit in self._units.items()
        }


def _among(spec: ServiceSpec, names: set[str]) -> ServiceSpec:
    """The service with no relations but those to `names`."""

    def kept(others: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(other for other in others if other in names)

    return replace(
        spec,
        requires=kept(spec.requires),
        wants=kept(spec.wants),
        after=kept(spec.after),
        before=kept(spec.before),
    )
