"""Any order of events: no state without a way out, one process, bounded backoff, stop ends."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pyinit.init import lifecycle_events as ev
from pyinit.init.life import RESTING, TIMED, Life, State
from pyinit.init.lifecycle import TABLE, step
from pyinit.init.lifecycle_events import Action, Event
from pyinit.spec.service import Backoff, ServiceSpec

SPECS = st.builds(
    ServiceSpec,
    command=st.just(("x",)),
    type=st.sampled_from(["simple", "oneshot", "notify"]),
    restart=st.sampled_from(["no", "on-failure", "always"]),
    kill_mode=st.sampled_from(["group", "process", "cgroup"]),
    stop_command=st.sampled_from([(), ("bye",)]),
    start_timeout=st.sampled_from([None, 0.0, 5.0]),
    stop_timeout=st.sampled_from([0.0, 3.0]),
    watchdog=st.sampled_from([0.0, 2.0]),
    essential=st.booleans(),
    on_failure=st.sampled_from(["record", "ignore", "shutdown"]),
    backoff=st.builds(Backoff, attempts=st.sampled_from([0, 2])),
)
SECONDS = st.floats(0, 1000)
NEWS = st.one_of(
    st.sampled_from(
        [ev.Start(), ev.Stop(), ev.Restart(), ev.Hurry(), ev.Ready(), ev.WatchdogPing()]
    ),
    st.sampled_from([ev.WatchdogTrigger(), ev.StopCommandEnded(), ev.Proceed()]),
    st.builds(ev.Blocked, st.just("x")),
    st.builds(ev.WatchdogPeriod, SECONDS),
    st.builds(ev.Extend, SECONDS),
    st.builds(ev.Unhealthy, st.just("c"), st.sampled_from(["none", "restart", "shutdown"])),
    st.builds(ev.NewMain, st.integers(2, 9)),
    st.builds(ev.Elapsed, SECONDS),
)
EXITS = st.one_of(
    st.builds(ev.Exited, code=st.integers(0, 255)), st.builds(ev.Exited, signal=st.integers(1, 64))
)
ANYTHING = st.one_of(
    NEWS, EXITS, st.just(ev.Gone()), st.just(ev.Spawned(5)), st.just(ev.SpawnFailed(0, "x"))
)


class World:
    """A kernel that keeps its contract: an answer to each spawn, Exited and then Gone."""

    def __init__(self, spec: ServiceSpec) -> None:
        self.spec = spec
        self.life = Life()
        self.now = 0.0
        self.spawning = False
        self.main = False
        self.tree = False
        self.timer: float | None = None
        self.stop_command = False

    @property
    def alive(self) -> bool:
        return self.spawning or self.main or self.tree

    def send(self, event: Event) -> None:
        before = self.life
        self.life, actions = step(before, event, self.spec, self.now)
        for action in actions:
            self.carry_out(action)
        assert self.timer == self.life.deadline
        if before.state is not State.BACKOFF and self.life.state is State.BACKOFF:
            self.check_backoff()

    def check_backoff(self) -> None:
        assert self.life.deadline is not None
        most = self.spec.backoff.limit * (1 + self.spec.backoff.jitter)
        assert 0 < self.life.deadline - self.now <= most + 1e-6

    def carry_out(self, action: Action) -> None:
        match action:
            case ev.Spawn():
                assert not self.alive, "two processes of a service"
                self.spawning = True
            case ev.Signal() | ev.KillAll():
                assert self.tree, "a signal to nobody"
            case ev.Arm(deadline):
                self.timer = deadline
            case ev.Disarm():
                self.timer = None
            case ev.RunStopCommand():
                assert self.tree
                assert not self.stop_command
                self.stop_command = True
            case ev.EndStopCommand():
                self.stop_command = False

    def spawned(self) -> None:
        if self.spawning:
            self.spawning, self.main, self.tree = False, True, True
            self.send(ev.Spawned(7))

    def spawn_failed(self) -> None:
        if self.spawning:
            self.spawning = False
            self.send(ev.SpawnFailed(127, "not found"))

    def exits(self, event: ev.Exited) -> None:
        if self.main:
            self.main = False
            self.send(event)

    def gone(self) -> None:
        if self.tree and not self.main:
            self.tree = False
            self.send(ev.Gone())

    def elapse(self) -> None:
        if self.timer is not None:
            self.now = max(self.now, self.timer)
            self.send(ev.Elapsed(self.timer))

    def settle(self) -> None:
        """What a world has to do sooner or later, once nobody wants anything any more."""
        for _ in range(8):
            if self.life.state in RESTING:
                return
            self.spawned()
            if self.life.state in (State.KILLING, State.STUCK):
                self.exits(ev.Exited(signal=9))
                self.gone()
            self.elapse()
        raise AssertionError(f"no end to {self.life}")


class AnyOrder(RuleBasedStateMachine):
    @initialize(spec=SPECS)
    def begin(self, spec: ServiceSpec) -> None:
        self.world = World(spec)

    @rule(event=NEWS)
    def news(self, event: Event) -> None:
        if isinstance(event, ev.StopCommandEnded):
            if not self.world.stop_command:
                return
            self.world.stop_command = False
        self.world.send(event)

    @rule()
    def come_up(self) -> None:
        self.world.send(ev.Start())
        self.world.send(ev.Proceed())
        self.world.spawned()

    @rule()
    def spawned(self) -> None:
        self.world.spawned()

    @rule()
    def spawn_failed(self) -> None:
        self.world.spawn_failed()

    @rule(event=EXITS)
    def exits(self, event: ev.Exited) -> None:
        self.world.exits(event)

    @rule()
    def gone(self) -> None:
        self.world.gone()

    @rule()
    def elapse(self) -> None:
        self.world.elapse()

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    @invariant()
    def the_life_is_in_keeping_with_the_world(self) -> None:
        world: World | None = getattr(self, "world", None)
        if world is None:
            return
        life = world.life
        if life.state in RESTING | {State.WAITING, State.BACKOFF}:
            assert not world.alive
            assert life.pid is None
        assert world.spawning == (life.state is State.SPAWNING)
        assert world.stop_command == (life.state is State.STOP_COMMAND)
        if life.state in TIMED - {State.STARTING, State.RUNNING}:
            assert life.deadline is not None
        if life.state is State.FAILED:
            assert life.verdict is not None
            assert life.verdict.failed
            assert life.verdict.status != 0

    def teardown(self) -> None:
        world = getattr(self, "world", None)
        if world is not None:
            world.send(ev.Stop())
            world.settle()
            assert not world.alive


def test_any_order_of_events_that_a_world_can_bring() -> None:
    run_state_machine_as_test(
        AnyOrder, settings=settings(deadline=None, max_examples=150, stateful_step_count=60)
    )


@settings(deadline=None)
@given(SPECS, st.lists(ANYTHING, max_size=40))
def test_even_news_that_can_not_be_breaks_nothing(spec: ServiceSpec, events: list[Event]) -> None:
    life = Life()
    for now, event in enumerate(events):
        life, _ = step(life, event, spec, float(now))


@settings(deadline=None)
@given(SPECS, st.lists(ANYTHING, max_size=40))
def test_a_step_is_the_same_whenever_it_is_taken(spec: ServiceSpec, events: list[Event]) -> None:
    def run() -> list[Any]:
        life, seen = Life(), []
        for now, event in enumerate(events):
            life, actions = step(life, event, spec, float(now), lambda: 0.5)
            seen.append((life, actions))
        return seen

    assert run() == run()


def reachable(start: State) -> set[State]:
    seen, todo = {start}, [start]
    while todo:
        for row in TABLE[todo.pop()].values():
            todo += row.to - seen
            seen |= row.to
    return seen


def test_every_state_leads_to_every_other() -> None:
    for state in State:
        assert reachable(state) == set(State), state


def test_every_state_in_which_something_lives_answers_to_stop() -> None:
    for state in set(State) - {State.INACTIVE, State.FAILED}:
        assert ev.Stop in TABLE[state], state


def test_every_state_that_is_timed_answers_to_its_timer() -> None:
    for state in State:
        assert (ev.Elapsed in TABLE[state]) == (state in TIMED), state
