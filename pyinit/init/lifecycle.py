"""The life of one service: a pure machine in one table. No I/O, and no clock of its own.

    inactive ─► waiting ─► spawning ─► starting ─► running
       ▲           ▲                       │          │
       │           └──── backoff ◄──┐      ▼          ▼
       └── completed, failed ◄──────┴─ (stop-command, stopping, ending, killing, stuck)

The rules, which the tests hold against any order of events:

- Spawn is asked for only in the step from waiting to spawning, and waiting is reached only
  when no process of the service is left. So there are never two of it.
- Every state in which a process lives ends by Exited and Gone, and those in which it has to
  go away are bounded by a deadline; the last of them, `stuck`, is for processes that
  survive KILL, and is left when they are gone.
- A state has at most one deadline. It is part of the value, so that setting and clearing
  the timer follow from the step and can't be forgotten.
- What is not in the table changes nothing: late news of something that is over.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from pyinit.init import lifecycle_events as ev
from pyinit.init import transitions as do
from pyinit.init.life import TIMED, Life, Moment, Outcome, State
from pyinit.init.lifecycle_events import Action, Event
from pyinit.spec.service import ServiceSpec


class Row(NamedTuple):
    """What to do about an event, and the states that it can lead to."""

    do: Callable[[Moment], Outcome]
    to: frozenset[State]


def step(
    life: Life,
    event: Event,
    spec: ServiceSpec,
    now: float,
    random: Callable[[], float] = random.random,
) -> Outcome:
    """The life after `event`, and what has to be done about it, in this order.

    `now` is in seconds of a clock that never goes back; `random` gives numbers in [0, 1].
    """
    row = TABLE[life.state].get(type(event))
    if row is None or (isinstance(event, ev.Elapsed) and event.deadline != life.deadline):
        return life, ()
    after, actions = row.do(Moment(life, event, spec, now, random))
    assert after.state in row.to, f"{life.state} x {type(event).__name__} -> {after.state}"
    if after.state is not life.state:
        after = replace(after, since=now)
    return after, actions + _timer(life, after)


def _timer(before: Life, after: Life) -> tuple[Action, ...]:
    assert after.deadline is None or after.state in TIMED
    if after.deadline == before.deadline:
        return ()
    return (ev.Disarm() if after.deadline is None else ev.Arm(after.deadline),)


def _to(do: Callable[[Moment], Outcome], *states: State) -> Row:
    return Row(do, frozenset(states))


_S = State
_AT_REST = (_S.WAITING, _S.INACTIVE, _S.BACKOFF, _S.COMPLETED, _S.FAILED)
_STOP = (_S.STOPPING, _S.STOP_COMMAND)

TABLE: dict[State, dict[type[Event], Row]] = {
    _S.INACTIVE: {
        ev.Start: _to(do.begin, _S.WAITING),
        ev.Restart: _to(do.begin, _S.WAITING),
    },
    _S.WAITING: {
        ev.Proceed: _to(do.proceed, _S.SPAWNING),
        ev.Blocked: _to(do.blocked, _S.FAILED),
        ev.Stop: _to(do.call_off, _S.INACTIVE),
    },
    _S.SPAWNING: {
        ev.Spawned: _to(do.spawned, _S.STARTING, _S.RUNNING, _S.STOPPING),
        ev.SpawnFailed: _to(do.spawn_failed, *_AT_REST),
        ev.Start: _to(do.want_up, _S.SPAWNING),
        ev.Restart: _to(do.want_up, _S.SPAWNING),
        ev.Stop: _to(do.want_down, _S.SPAWNING),
    },
    _S.STARTING: {
        ev.Ready: _to(do.ready, _S.RUNNING, _S.STARTING),
        ev.Exited: _to(do.exited, _S.ENDING),
        ev.Elapsed: _to(do.start_timed_out, _S.STOPPING),
        ev.Extend: _to(do.extend, _S.STARTING),
        ev.NewMain: _to(do.new_main, _S.STARTING),
        ev.WatchdogPeriod: _to(do.period_for_later, _S.STARTING),
        ev.Restart: _to(do.restart, *_STOP),
        ev.Stop: _to(do.stop, *_STOP),
    },
    _S.RUNNING: {
        ev.Exited: _to(do.exited, _S.ENDING),
        ev.Elapsed: _to(do.watchdog_missed, _S.STOPPING),
        ev.WatchdogTrigger: _to(do.watchdog_missed, _S.STOPPING),
        ev.WatchdogPing: _to(do.ping, _S.RUNNING),
        ev.WatchdogPeriod: _to(do.new_period, _S.RUNNING),
        ev.Unhealthy: _to(do.unhealthy, _S.RUNNING, _S.STOPPING),
        ev.NewMain: _to(do.new_main, _S.RUNNING),
        ev.Restart: _to(do.restart, *_STOP),
        ev.Stop: _to(do.stop, *_STOP),
    },
    _S.STOP_COMMAND: {
        ev.StopCommandEnded: _to(do.after_stop_command, _S.STOPPING),
        ev.Exited: _to(do.exited_in_stop_command, _S.ENDING),
        ev.Elapsed: _to(do.kill_with_stop_command, _S.KILLING),
        ev.Hurry: _to(do.kill_with_stop_command, _S.KILLING),
        ev.Extend: _to(do.extend, _S.STOP_COMMAND),
        ev.NewMain: _to(do.new_main, _S.STOP_COMMAND),
        ev.Start: _to(do.want_again, _S.STOP_COMMAND),
        ev.Restart: _to(do.want_again, _S.STOP_COMMAND),
        ev.Stop: _to(do.want_down, _S.STOP_COMMAND),
    },
    _S.STOPPING: {
        ev.Exited: _to(do.exited_in_stop, _S.ENDING),
        ev.Elapsed: _to(do.kill, _S.KILLING),
        ev.Hurry: _to(do.kill, _S.KILLING),
        ev.Extend: _to(do.extend, _S.STOPPING),
        ev.NewMain: _to(do.new_main, _S.STOPPING),
        ev.Start: _to(do.want_again, _S.STOPPING),
        ev.Restart: _to(do.want_again, _S.STOPPING),
        ev.Stop: _to(do.want_down, _S.STOPPING),
    },
    _S.ENDING: {
        ev.Gone: _to(do.rest, *_AT_REST),
        ev.Elapsed: _to(do.kill, _S.KILLING),
        ev.Hurry: _to(do.kill, _S.KILLING),
        ev.Start: _to(do.want_again, _S.ENDING),
        ev.Restart: _to(do.want_again, _S.ENDING),
        ev.Stop: _to(do.want_down, _S.ENDING),
    },
    _S.KILLING: {
        ev.Exited: _to(do.exited_in_kill, _S.KILLING),
        ev.Gone: _to(do.rest, *_AT_REST),
        ev.Elapsed: _to(do.stuck, _S.STUCK),
        ev.Start: _to(do.want_again, _S.KILLING),
        ev.Restart: _to(do.want_again, _S.KILLING),
        ev.Stop: _to(do.want_down, _S.KILLING),
    },
    _S.STUCK: {
        ev.Exited: _to(do.exited_in_kill, _S.STUCK),
        ev.Gone: _to(do.rest, *_AT_REST),
        ev.Start: _to(do.want_again, _S.STUCK),
        ev.Restart: _to(do.want_again, _S.STUCK),
        ev.Stop: _to(do.want_down, _S.STUCK),
    },
    _S.BACKOFF: {
        ev.Elapsed: _to(do.try_again, _S.WAITING),
        ev.Start: _to(do.begin, _S.WAITING),
        ev.Restart: _to(do.begin, _S.WAITING),
        ev.Stop: _to(do.call_off, _S.INACTIVE),
    },
    _S.COMPLETED: {
        ev.Start: _to(do.begin, _S.WAITING),
        ev.Restart: _to(do.begin, _S.WAITING),
        ev.Stop: _to(do.forget, _S.INACTIVE),
    },
    _S.FAILED: {
        ev.Start: _to(do.begin, _S.WAITING),
        ev.Restart: _to(do.begin, _S.WAITING),
    },
}
