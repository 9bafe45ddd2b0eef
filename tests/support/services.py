"""A supervisor without any process: what it starts is kept here, and ended by the tests."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from pyinit.init.life import State
from pyinit.init.lifecycle_events import Exited
from pyinit.init.ports import Launch
from pyinit.init.supervisor import Supervisor
from pyinit.spec.service import Services, ServiceSpec

IGNORED = {int(signal.SIGCONT)}


class FakeProcess:
    """Dies of any signal unless `stubborn`; `leftovers` stay behind it until they are killed."""

    def __init__(self, world: FakeProcesses, launch: Launch, pid: int) -> None:
        self.launch = launch
        self.pid = pid
        self.signals: list[int] = []
        self.stubborn = False
        self.leftovers = False
        self.immortal = False
        self.family = {pid}
        self.status: Exited | None = None
        self._world = world
        self._ended = trio.Event()
        self._gone = trio.Event()

    async def wait(self) -> Exited:
        await self._ended.wait()
        assert self.status is not None
        return self.status

    async def gone(self) -> None:
        await self._gone.wait()

    def exit(self, code: int | None = None, *, signal: int | None = None) -> None:
        """The main process ends."""
        if self.status is None:
            self.status = Exited(code, signal)
            self._ended.set()
            if not self.leftovers:
                self._vanish()

    def _vanish(self) -> None:
        self._world.alive.pop(self.pid, None)
        self._gone.set()

    def signal(self, number: int) -> None:
        self.signals.append(number)
        if number not in IGNORED and not self.stubborn:
            self.exit(signal=number)

    def signal_tree(self, number: int) -> None:
        self.signal(number)

    def kill_all(self) -> None:
        self.signals.append(int(signal.SIGKILL))
        if not self.immortal:
            self.leftovers = False
            self.exit(signal=int(signal.SIGKILL))
            self._vanish()

    def owns(self, pid: int) -> bool:
        return pid in self.family

    def follow(self, pid: int) -> FakeProcess:
        if pid < 0:
            raise OSError(3, "No such process")
        other = FakeProcess(self._world, self.launch, pid)
        other.family = self.family
        self._world.alive.pop(self.pid, None)
        self._world.alive[pid] = other
        self._world.spawned.append(other)
        return other


class FakeProcesses:
    """`errors` by service make its spawn fail; `behave` by service or role sees each process."""

    def __init__(self) -> None:
        self.spawned: list[FakeProcess] = []
        self.alive: dict[int, FakeProcess] = {}
        self.errors: dict[str, Exception] = {}
        self.behave: dict[str, Callable[[FakeProcess], None]] = {}
        self.hold: trio.Event | None = None
        self.next_pid = 100

    async def spawn(self, launch: Launch) -> FakeProcess:
        await trio.lowlevel.checkpoint()
        if self.hold is not None:
            await self.hold.wait()
        if launch.service in self.errors:
            raise self.errors[launch.service]
        if launch.role == "main":
            assert not self.mains(launch.service), f"two of {launch.service}"
        self.next_pid += 1
        process = FakeProcess(self, launch, self.next_pid)
        self.spawned.append(process)
        self.alive[process.pid] = process
        for key in (launch.service, launch.role):
            if key in self.behave:
                self.behave[key](process)
        return process

    def mains(self, service: str) -> list[FakeProcess]:
        """The living main processes of a service."""
        return [
            process
            for process in self.alive.values()
            if (process.launch.service, process.launch.role) == (service, "main")
        ]

    def main(self, service: str) -> FakeProcess:
        (process,) = self.mains(service)
        return process


class Stage:
    """A supervisor that runs, what it runs, and what it said."""

    def __init__(self, services: Services, **options: Any) -> None:
        self.processes = FakeProcesses()
        self.told: list[tuple[str, str, dict[str, object]]] = []
        self.supervisor = Supervisor(
            services,
            self.processes,
            on_event=lambda *event: self.told.append(event),
            random=lambda: 0.5,
            **options,
        )
        self.exit_status: int | None = None

    async def run(self) -> None:
        self.exit_status = await self.supervisor.run(start=False)

    async def settle(self) -> None:
        """Let everything happen that does not wait for the clock."""
        await wait_all_tasks_blocked()

    async def start(self, *names: str) -> None:
        """Start the named services, or all that are enabled."""
        if names:
            self.supervisor.start(*names)
        else:
            self.supervisor.start_all()
        await self.settle()

    def main(self, service: str) -> FakeProcess:
        return self.processes.main(service)

    def state(self, service: str) -> State:
        (status,) = self.supervisor.status(service)
        return status.state

    def states(self) -> dict[str, str]:
        return {status.name: str(status.state) for status in self.supervisor.status()}

    def order(self, *kinds: str) -> list[str]:
        """The services of the events of these kinds, in order."""
        return [service for kind, service, _ in self.told if kind in kinds]


@asynccontextmanager
async def stage(services: Services, **options: Any) -> AsyncIterator[Stage]:
    """A supervisor of `services` that has started none of them yet."""
    found = Stage(services, **options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found.run)
        await found.supervisor.started.wait()
        yield found
        nursery.cancel_scope.cancel()


def service(**fields: Any) -> ServiceSpec:
    return ServiceSpec(**{"command": ("x",), **fields})
