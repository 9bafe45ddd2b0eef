"""The life of a service by example; the properties are in test_lifecycle_properties."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from pyinit.init import lifecycle_events as ev
from pyinit.init.life import Life, State
from pyinit.init.lifecycle import step
from pyinit.init.lifecycle_events import Action, Event, Signal, Tell
from pyinit.init.transitions import KILL_PATIENCE
from pyinit.spec.service import Backoff, ServiceSpec

TERM, CONT, ABRT = int(signal.SIGTERM), int(signal.SIGCONT), int(signal.SIGABRT)


class Story:
    """A life, told event by event; the clock goes on only when told to."""

    def __init__(self, **fields: Any) -> None:
        self.spec = ServiceSpec(**{"command": ("x",), **fields})
        self.life = Life()
        self.now = 100.0
        self.actions: list[Action] = []

    def on(self, *events: Event) -> Story:
        self.actions = []
        for event in events:
            self.life, actions = step(self.life, event, self.spec, self.now, lambda: 0.5)
            self.actions += actions
        return self

    def later(self, seconds: float) -> Story:
        self.now += seconds
        return self

    def elapse(self) -> Story:
        """Go on to the deadline."""
        assert self.life.deadline is not None
        self.now = self.life.deadline
        return self.on(ev.Elapsed(self.life.deadline))

    def spawned(self) -> Story:
        return self.on(ev.Start(), ev.Proceed(), ev.Spawned(7))

    def running(self) -> Story:
        return self.spawned().on(ev.Ready())

    @property
    def told(self) -> list[str]:
        return [action.kind for action in self.actions if isinstance(action, Tell)]

    def did(self, kind: type[Action]) -> list[Any]:
        return [action for action in self.actions if isinstance(action, kind)]


def test_a_simple_service_is_ready_when_it_is_there() -> None:
    story = Story().on(ev.Start(), ev.Proceed())
    assert story.actions == [ev.Spawn()]
    story.on(ev.Spawned(7))
    assert story.life.state is State.RUNNING
    assert story.life.pid == 7
    assert story.actions == [Tell("started", {"pid": 7}), Tell("ready")]


def test_an_idle_service_has_no_timer() -> None:
    assert Story().running().life.deadline is None


def test_a_notify_service_is_ready_when_it_says_so() -> None:
    story = Story(type="notify").spawned()
    assert (story.life.state, story.life.deadline) == (State.STARTING, story.now + 90)
    story.on(ev.Ready())
    assert (story.life.state, story.actions) == (State.RUNNING, [Tell("ready"), ev.Disarm()])


def test_a_oneshot_is_complete_when_it_has_ended_well() -> None:
    story = Story(type="oneshot").spawned().on(ev.Ready())
    assert story.life.state is State.STARTING
    story.on(ev.Exited(code=0), ev.Gone())
    assert (story.life.state, story.told) == (State.COMPLETED, ["exited", "completed"])
    assert story.on(ev.Stop()).life.state is State.INACTIVE


def test_a_notify_service_that_ends_before_it_is_ready_has_failed() -> None:
    story = Story(type="notify").spawned().on(ev.Exited(code=0), ev.Gone())
    assert story.life.state is State.FAILED
    assert story.life.verdict is not None
    assert (story.life.verdict.status, story.life.verdict.reason) == (
        1,
        "exited with 0 before it was ready",
    )


def test_a_start_that_takes_too_long_is_ended_and_has_failed() -> None:
    story = Story(type="notify", start_timeout=5.0).spawned().elapse()
    assert story.life.state is State.STOPPING
    assert story.did(Signal) == [Signal(TERM, whole=True), Signal(CONT, whole=True)]
    story.on(ev.Exited(signal=TERM), ev.Gone())
    assert story.life.verdict is not None
    assert (story.life.state, story.life.verdict.reason) == (State.FAILED, "not ready within 5 s")


def test_more_time_can_be_asked_for_up_to_a_limit() -> None:
    story = Story(type="notify", start_timeout=10.0, extend_limit=60.0).spawned()
    began = story.now
    assert story.later(5).on(ev.Extend(20)).life.deadline == began + 25
    assert story.on(ev.Extend(1)).life.deadline == began + 25
    assert story.on(ev.Extend(500)).life.deadline == began + 60
    story.elapse()
    assert story.on(ev.Extend(500)).life.deadline == story.now + 60


def test_more_time_means_nothing_where_there_is_no_bound() -> None:
    story = Story(type="oneshot").spawned().on(ev.Extend(5))
    assert (story.life.deadline, story.actions) == (None, [])


def test_a_failed_start_is_never_status_0() -> None:
    story = Story(on_failure="shutdown").on(ev.Start(), ev.Proceed(), ev.SpawnFailed(0, "odd"))
    assert story.did(ev.EndContainer) == [ev.EndContainer(1, "odd")]
    story = Story(on_failure="shutdown").on(ev.Start(), ev.Proceed(), ev.SpawnFailed(127, "no x"))
    assert story.did(ev.EndContainer) == [ev.EndContainer(127, "no x")]


def test_a_service_without_what_it_requires_has_failed() -> None:
    story = Story(essential=True).on(ev.Start(), ev.Blocked("database has failed"))
    assert story.life.state is State.FAILED
    assert story.did(ev.EndContainer) == [ev.EndContainer(1, "database has failed")]


def test_stopping_is_signal_grace_and_kill() -> None:
    story = Story(stop_timeout=3.0, stop_signal=int(signal.SIGQUIT)).running().on(ev.Stop())
    assert story.actions == [
        Tell("stopping", {"signal": "SIGQUIT"}),
        Signal(signal.SIGQUIT, whole=True),
        Signal(CONT, whole=True),
        ev.Arm(story.now + 3),
    ]
    story.elapse()
    assert story.actions == [Tell("killed"), ev.KillAll(), ev.Arm(story.now + KILL_PATIENCE)]
    story.on(ev.Exited(signal=9))
    assert story.actions == [Tell("exited", {"signal": signal.SIGKILL})]
    story.on(ev.Gone())
    assert (story.life.state, story.told) == (State.INACTIVE, ["stopped"])


def test_grace_is_a_ceiling() -> None:
    story = Story().running().on(ev.Stop()).on(ev.Exited(code=0)).on(ev.Gone())
    assert story.life.state is State.INACTIVE
    assert story.did(ev.Disarm)


def test_what_the_main_process_leaves_behind_is_ended_too() -> None:
    story = Story(stop_timeout=3.0).running().on(ev.Exited(code=0))
    assert story.life.state is State.ENDING
    assert story.did(Signal) == [Signal(TERM, whole=True), Signal(CONT, whole=True)]
    assert story.elapse().did(ev.KillAll)
    assert story.on(ev.Gone()).life.state is State.COMPLETED


def test_kill_mode_process_leaves_the_others_alone() -> None:
    story = Story(kill_mode="process").running().on(ev.Exited(code=0))
    assert not story.did(Signal)
    story = Story(kill_mode="process").running().on(ev.Stop())
    assert story.did(Signal) == [Signal(TERM, whole=False), Signal(CONT, whole=False)]


def test_a_process_that_survives_kill_is_stuck_until_it_is_gone() -> None:
    story = Story().running().on(ev.Stop()).elapse().elapse()
    assert (story.life.state, story.told) == (State.STUCK, ["stuck"])
    assert story.on(ev.Start(), ev.Exited(signal=9)).life.state is State.STUCK
    assert story.on(ev.Gone()).life.state is State.WAITING


def test_the_stop_command_comes_before_the_signal_within_one_grace() -> None:
    story = Story(stop_command=("bye",), stop_timeout=4.0).running().on(ev.Stop())
    end = story.now + 4
    assert story.actions == [Tell("stopping"), ev.RunStopCommand(), ev.Arm(end)]
    story.later(1).on(ev.StopCommandEnded())
    assert (story.life.state, story.life.deadline) == (State.STOPPING, end)
    assert story.did(Signal)
    assert not story.told


def test_a_stop_command_is_ended_when_nobody_needs_it_any_longer() -> None:
    stopping = {"stop_command": ("bye",), "stop_timeout": 4.0}
    story = Story(**stopping).running().on(ev.Stop(), ev.Exited(code=0))
    assert (story.life.state, story.did(ev.EndStopCommand)) == (State.ENDING, [ev.EndStopCommand()])
    story = Story(**stopping).running().on(ev.Stop()).elapse()
    assert (story.life.state, story.did(ev.EndStopCommand)) == (
        State.KILLING,
        [ev.EndStopCommand()],
    )
    story = Story(**stopping).running().on(ev.Stop()).on(ev.Hurry())
    assert (story.life.state, story.did(ev.KillAll)) == (State.KILLING, [ev.KillAll()])


def test_a_stop_while_spawning_waits_for_the_process() -> None:
    story = Story().on(ev.Start(), ev.Proceed(), ev.Stop())
    assert story.life.state is State.SPAWNING
    story.on(ev.Spawned(7))
    assert (story.life.state, story.told) == (State.STOPPING, ["started", "stopping"])
    story = Story().on(ev.Start(), ev.Proceed(), ev.Stop(), ev.Start(), ev.Spawned(7))
    assert story.life.state is State.RUNNING
    story = Story().on(ev.Start(), ev.Proceed(), ev.Stop(), ev.SpawnFailed(127, "no"))
    assert story.life.state is State.INACTIVE


def test_a_restart_is_a_stop_and_a_start() -> None:
    story = Story().running().on(ev.Restart(), ev.Exited(code=3), ev.Gone())
    assert (story.life.state, story.life.goal) == (State.WAITING, "up")
    assert story.told == ["stopping", "exited", "stopped"]
    assert story.life.restarts == 1


def test_a_stop_calls_off_a_restart_and_a_start_a_stop() -> None:
    story = Story().running().on(ev.Restart(), ev.Stop(), ev.Exited(code=0), ev.Gone())
    assert story.life.state is State.INACTIVE
    story = Story().running().on(ev.Stop(), ev.Start(), ev.Exited(code=0), ev.Gone())
    assert story.life.state is State.WAITING


def test_a_stop_while_waiting_is_at_once() -> None:
    assert Story().on(ev.Start(), ev.Stop()).life.state is State.INACTIVE


@pytest.mark.parametrize(
    ("policy", "code", "state"),
    [
        ("no", 0, State.COMPLETED),
        ("no", 1, State.FAILED),
        ("on-failure", 0, State.COMPLETED),
        ("on-failure", 1, State.BACKOFF),
        ("on-failure", 5, State.COMPLETED),
        ("always", 0, State.BACKOFF),
        ("always", 1, State.BACKOFF),
    ],
)
def test_the_restart_policies(policy: str, code: int, state: State) -> None:
    story = Story(restart=policy, success_exit_codes=(5,)).running()
    assert story.on(ev.Exited(code=code), ev.Gone()).life.state is state


def test_death_by_a_signal_is_128_and_its_number() -> None:
    story = Story(on_failure="shutdown").running().on(ev.Exited(signal=11), ev.Gone())
    assert story.did(ev.EndContainer) == [ev.EndContainer(139, "killed by SIGSEGV")]
    story = Story(success_exit_codes=(143,)).running().on(ev.Exited(signal=TERM), ev.Gone())
    assert story.life.state is State.COMPLETED


def test_an_essential_service_takes_the_container_with_it() -> None:
    story = Story(essential=True).running().on(ev.Exited(code=0), ev.Gone())
    assert story.did(ev.EndContainer) == [ev.EndContainer(0, "exited with 0")]


def test_backoff_grows_and_a_healthy_stretch_resets_it() -> None:
    story = Story(restart="always", backoff=Backoff(initial=1, factor=2, jitter=0, limit=5))
    story.running()
    waits = []
    for _ in range(4):
        story.on(ev.Exited(code=1), ev.Gone())
        assert story.life.deadline is not None
        waits.append(story.life.deadline - story.now)
        story.elapse().on(ev.Proceed(), ev.Spawned(7))
    assert waits == [1, 2, 4, 5]
    story.later(60).on(ev.Exited(code=1), ev.Gone())
    assert story.life.deadline == story.now + 1


def test_attempts_bound_the_restarts() -> None:
    story = Story(restart="on-failure", on_failure="shutdown", backoff=Backoff(attempts=1))
    story.running().on(ev.Exited(code=3), ev.Gone()).elapse()
    story.on(ev.Proceed(), ev.Spawned(8), ev.Exited(code=3), ev.Gone())
    assert story.life.state is State.FAILED
    reason = "exited with 3 (the last of 2 attempts)"
    assert story.did(ev.EndContainer) == [ev.EndContainer(3, reason)]


def test_a_start_by_hand_does_not_wait_for_the_backoff() -> None:
    story = Story(restart="always").running().on(ev.Exited(code=0), ev.Gone())
    assert story.on(ev.Start()).actions == [ev.Disarm()]
    assert (story.life.state, story.life.streak) == (State.WAITING, 0)
    story = Story(restart="always").running().on(ev.Exited(code=0), ev.Gone())
    assert story.on(ev.Stop()).life.state is State.INACTIVE


def test_a_missed_watchdog_aborts_the_main_process() -> None:
    story = Story(watchdog=10.0, restart="on-failure").running()
    assert story.life.deadline == story.now + 10
    story.later(6).on(ev.WatchdogPing())
    assert story.life.deadline == story.now + 10
    story.elapse()
    assert story.did(Signal) == [Signal(ABRT, whole=False), Signal(CONT, whole=False)]
    story.on(ev.Exited(signal=ABRT), ev.Gone())
    assert story.life.state is State.BACKOFF


def test_the_service_may_set_its_watchdog_and_trigger_it() -> None:
    story = Story(type="notify").spawned().on(ev.WatchdogPeriod(4), ev.Ready())
    assert story.life.deadline == story.now + 4
    assert story.on(ev.WatchdogPeriod(0)).life.deadline is None
    assert story.on(ev.WatchdogPing()).actions == []
    assert story.on(ev.WatchdogTrigger()).life.state is State.STOPPING


def test_a_failed_check_does_what_it_is_told_to() -> None:
    story = Story().running()
    assert story.on(ev.Unhealthy("alive", "none")).actions == []
    story.on(ev.Unhealthy("alive", "shutdown"))
    assert story.actions == [ev.EndContainer(1, "check alive failed")]
    story.on(ev.Unhealthy("alive", "restart"), ev.Exited(code=0), ev.Gone())
    assert story.life.state is State.BACKOFF


def test_another_main_process_is_adopted() -> None:
    story = Story(type="notify").spawned().on(ev.NewMain(9))
    assert (story.life.pid, story.actions) == (9, [ev.Adopt(9)])


def test_a_deadline_that_was_moved_does_not_count() -> None:
    story = Story(watchdog=10.0).running()
    early = story.life.deadline
    assert early is not None
    story.later(5).on(ev.WatchdogPing()).on(ev.Elapsed(early))
    assert (story.life.state, story.actions) == (State.RUNNING, [])


def test_late_news_changes_nothing() -> None:
    story = Story()
    late = (ev.Gone(), ev.Exited(code=1), ev.Ready(), ev.Hurry(), ev.WatchdogPing(), ev.NewMain(3))
    story.on(*late, ev.StopCommandEnded(), ev.Elapsed(1.0), ev.Unhealthy("x", "restart"))
    assert (story.life, story.actions) == (Life(), [])
