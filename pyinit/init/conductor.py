"""What lies between services: who waits for whom, who stops after whom, when all is over.

Every event of every service passes through here: it is given to the service's machine,
the actions are carried out, and then those are looked at that waited for the change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import trio

from pyinit.init import lifecycle_events as ev
from pyinit.init.dependencies import Dependencies, Standing, StopOrder, standing
from pyinit.init.life import RESTING, State
from pyinit.init.lifecycle import step
from pyinit.init.lifecycle_events import Action, Event
from pyinit.init.runner import Runner
from pyinit.init.timers import Timers
from pyinit.init.unit import Unit
from pyinit.spec.service import Services

OnEvent = Callable[[str, str, dict[str, object]], None]
"""Called with the kind of an event, the service's name ("" for the container), and more."""

_GRACEFUL = frozenset({State.STOP_COMMAND, State.STOPPING, State.ENDING})


class Conductor:
    """Units by name, their order, and the queue of their events.

    Work is put into `queue` and `moved`, and `drain` sees to it. `on_end_asked` is called
    with a status and a reason when a service wants the container to end, `on_quiet` each
    time when nothing is up.
    """

    def __init__(
        self,
        services: Services,
        *,
        on_event: OnEvent,
        on_end_asked: Callable[[int, str], None],
        on_quiet: Callable[[], None],
        random: Callable[[], float],
    ) -> None:
        self.units = {
            name: Unit(name, spec, spec.startup == "enabled") for name, spec in services.items()
        }
        self.dependencies = Dependencies(services)
        self.stop_order = StopOrder()
        self.timers = Timers(self._elapsed)
        self.up: set[Unit] = set()
        self.queue: deque[tuple[Unit, Event]] = deque()
        self.moved: dict[Unit, None] = {}
        self.hurried = False
        self._runner: Runner | None = None
        self._on_event = on_event
        self._on_end_asked = on_end_asked
        self._on_quiet = on_quiet
        self._random = random
        self._draining = False

    def use(self, runner: Runner) -> None:
        """From now on actions can be carried out."""
        self._runner = runner

    @property
    def runner(self) -> Runner:
        assert self._runner is not None, "Supervisor.run() comes first"
        return self._runner

    def tell(self, kind: str, unit: Unit, fields: dict[str, object]) -> None:
        self._on_event(kind, unit.name, fields)

    # Events, and what follows from them.

    def post(self, unit: Unit, event: Event) -> None:
        """Something happened to a unit."""
        self.queue.append((unit, event))
        self.drain()

    def _elapsed(self, name: str, deadline: float) -> None:
        unit = self.units.get(name)
        if unit is not None:
            self.post(unit, ev.Elapsed(deadline))

    def drain(self) -> None:
        """Step until nothing is left to do. What a step posts in turn waits in the queue,
        and what lies between services is looked at only when each has had its events."""
        if self._draining:
            return
        self._draining = True
        try:
            while self.queue or self.moved:
                while self.queue:
                    self._step(*self.queue.popleft())
                if self.moved:
                    unit = next(iter(self.moved))
                    del self.moved[unit]
                    self._after_move(unit)
            if not self.up:
                self._on_quiet()
        finally:
            self._draining = False

    def _step(self, unit: Unit, event: Event) -> None:
        before = unit.life
        unit.life, actions = step(before, event, unit.spec, trio.current_time(), self._random)
        for action in actions:
            self._carry_out(unit, action)
        if (unit.life.state, unit.life.goal) != (before.state, before.goal):
            self.moved[unit] = None
            (self.up.add if unit.up else self.up.discard)(unit)
            unit.has_changed()

    def _carry_out(self, unit: Unit, action: Action) -> None:
        match action:
            case ev.Tell(kind, fields):
                self.tell(kind, unit, fields)
            case ev.Arm(deadline):
                self.timers.arm(unit.name, deadline)
            case ev.Disarm():
                self.timers.disarm(unit.name)
            case ev.EndContainer(status, reason):
                self._on_end_asked(status, f"{unit.name}: {reason}")
            case _:
                self._act(unit, action)

    def _act(self, unit: Unit, action: Action) -> None:
        match action:
            case ev.Spawn():
                self.runner.spawn(unit)
            case ev.Signal(number, whole):
                self.runner.signal(unit, number, whole=whole)
            case ev.KillAll():
                self.runner.kill(unit)
            case ev.RunStopCommand():
                self.runner.run_stop_command(unit)
            case ev.EndStopCommand():
                self.runner.end_stop_command(unit)
            case ev.Adopt(pid):
                self.runner.adopt(unit, pid)

    def _after_move(self, unit: Unit) -> None:
        state = unit.life.state
        if state is State.RUNNING:
            self.runner.begin_checks(unit)
        else:
            self.runner.end_checks(unit)
        if state in RESTING or state in (State.WAITING, State.BACKOFF):
            self._between_runs(unit)
        elif unit.next_spec is not None and state in (State.STARTING, State.RUNNING):
            self.queue.append((unit, ev.Restart()))
        elif self.hurried and state in _GRACEFUL:
            self.queue.append((unit, ev.Hurry()))
        if not unit.up:
            self.release(unit)
        self._look_at_those_after(unit)
        self._drop_if_over(unit)

    def _between_runs(self, unit: Unit) -> None:
        """No process of it is left."""
        if unit.next_spec is not None:
            unit.close()
            unit.spec, unit.next_spec = unit.next_spec, None
        if unit.life.state is State.INACTIVE:
            unit.close()
        elif unit.name in self.stop_order:
            # Nothing of it runs, so it need not wait for its turn.
            self.queue.append((unit, ev.Stop()))
        elif unit.life.state is State.WAITING:
            self._look_at_those_before(unit)

    def _drop_if_over(self, unit: Unit) -> None:
        if unit.removed and unit.life.state in RESTING and self.units.get(unit.name) is unit:
            unit.close()
            del self.units[unit.name]

    # Up: each when those before it are ready.

    def _look_at_those_before(self, unit: Unit) -> None:
        unit.waits_for = set()
        for name in self.dependencies.before[unit.name]:
            found = self._standing(unit, self.units[name])
            if found == "failed":
                self._block(unit, self.units[name])
                return
            if found == "pending":
                unit.waits_for.add(name)
        if not unit.waits_for:
            self.queue.append((unit, ev.Proceed()))

    def _look_at_those_after(self, unit: Unit) -> None:
        for name in self.dependencies.after.get(unit.name, ()):
            later = self.units[name]
            if later.life.state is not State.WAITING or unit.name not in later.waits_for:
                continue
            found = self._standing(later, unit)
            if found == "failed":
                self._block(later, unit)
            elif found == "ready":
                later.waits_for.discard(unit.name)
                if not later.waits_for:
                    # Looked at once more as a whole: others may have gone again meanwhile.
                    self.moved[later] = None

    def _standing(self, unit: Unit, other: Unit) -> Standing:
        required = self.dependencies.requires(unit.name, other.name)
        return standing(other.spec, other.life, required=required)

    def _block(self, unit: Unit, other: Unit) -> None:
        unit.waits_for = set()
        reason = f"it requires {other.name}, which is {other.life.state}"
        self.queue.append((unit, ev.Blocked(reason)))

    # Down: each when those after it are gone.

    def take_down(self, names: Iterable[str]) -> None:
        """Stop services in reverse order; `drain` comes next."""
        free = self.stop_order.add(names, self.dependencies.after, lambda name: self.units[name].up)
        self.queue += ((self.units[name], ev.Stop()) for name in free)
        # Those that only wait to start again need not wait for their turn to stop.
        self.moved |= {
            self.units[name]: None
            for name in self.stop_order
            if self.units[name].life.state in (State.WAITING, State.BACKOFF)
        }

    def release(self, unit: Unit) -> None:
        """It need not be waited for: those that were held back by it may stop."""
        self.keep_up({unit.name: None})

    def keep_up(self, names: dict[str, None]) -> None:
        """They shall be up after all: what they held back may stop, unless it is of them."""
        for name in names:
            if name in self.stop_order:
                free = self.stop_order.release(name)
                self.queue += ((self.units[n], ev.Stop()) for n in free if n not in names)
                self.units[name].has_changed()

    def reorder(self, dependencies: Dependencies) -> None:
        """Another order is in force; whoever waits is looked at again."""
        self.dependencies = dependencies
        stopping = list(self.stop_order)
        self.stop_order = StopOrder()
        self.take_down(stopping)
        waiting = (unit for unit in self.units.values() if unit.life.state is State.WAITING)
        self.moved |= dict.fromkeys(waiting)
