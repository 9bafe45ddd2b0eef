"""One service as the supervisor holds it: its life, and what belongs to its present run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import trio

from pyinit.init.checks import CheckRecord
from pyinit.init.life import RESTING, Life, State
from pyinit.init.lifecycle_events import Exited
from pyinit.init.listeners import Listeners
from pyinit.init.notify import NotifySocket
from pyinit.init.ports import Process
from pyinit.spec.service import ServiceSpec, Type


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say about a service. `since` is a time of the wall clock, 0 where it was
    never in another state.

    `code` and `signal` are those of the last main process that ended, `reason` says why the
    service failed or is about to be restarted, `next` in how many seconds something happens
    to it by itself. `healthy` is None where no check has said anything.
    """

    name: str
    type: Type
    state: State
    enabled: bool
    pid: int | None = None
    since: float
    restarts: int
    code: int | None = None
    signal: int | None = None
    reason: str
    text: str
    next: float | None = None
    healthy: bool | None = None
    waits_for: tuple[str, ...]


@dataclass(slots=True, eq=False)
class Unit:
    """`next_spec` takes over when no process of the present one is left. A unit that is
    `removed` goes away then; one `stopped` by hand does not count as having ended."""

    name: str
    spec: ServiceSpec
    enabled: bool
    life: Life = field(default_factory=Life)
    next_spec: ServiceSpec | None = None
    removed: bool = False
    stopped: bool = False
    process: Process | None = None
    run: trio.CancelScope | None = None
    checking: trio.CancelScope | None = None
    stop_command: trio.CancelScope | None = None
    listeners: Listeners | None = None
    notify: NotifySocket | None = None
    checks: dict[str, CheckRecord] = field(default_factory=dict)
    waits_for: set[str] = field(default_factory=set)
    last_exit: Exited | None = None
    text: str = ""
    changed: trio.Event | None = None

    @property
    def up(self) -> bool:
        """Whether there is anything of it that a shutdown has to wait for."""
        return self.life.state not in RESTING and self.life.state is not State.STUCK

    @property
    def failing(self) -> bool:
        """Whether it failed, or is being tried again after it did."""
        verdict = self.life.verdict
        return verdict is not None and verdict.failed and self.life.state is not State.INACTIVE

    @property
    def healthy(self) -> bool | None:
        known = [record.healthy for record in self.checks.values() if record.healthy is not None]
        return all(known) if known else None

    @property
    def planned_spec(self) -> ServiceSpec:
        return self.next_spec or self.spec

    def has_changed(self) -> None:
        """Wake those who wait for it to change."""
        if self.changed is not None:
            self.changed.set()
            self.changed = None

    async def wait_until(self, settled: Callable[[Unit], bool]) -> None:
        """Return when `settled` is true of it; that is looked at after every change."""
        while not settled(self):
            if self.changed is None:
                self.changed = trio.Event()
            await self.changed.wait()

    def close(self) -> None:
        """Give back what outlives a run: sockets, and their names."""
        if self.listeners is not None:
            self.listeners.close()
            self.listeners = None
        if self.notify is not None:
            self.notify.close()
            self.notify = None

    def status(self, now: float) -> ServiceStatus:
        """`now` by the clock of the unit's life."""
        life, ended = self.life, self.last_exit
        return ServiceStatus(
            name=self.name,
            type=self.spec.type,
            state=life.state,
            enabled=self.enabled,
            pid=life.pid,
            since=time.time() - (now - life.since) if life.since else 0.0,
            restarts=life.restarts,
            code=ended.code if ended else None,
            signal=ended.signal if ended else None,
            reason=life.verdict.reason if life.verdict else "",
            text=self.text,
            next=None if life.deadline is None else max(0.0, life.deadline - now),
            healthy=self.healthy,
            waits_for=tuple(sorted(self.waits_for)),
        )
