"""Where a service stands: a value, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal, NamedTuple

import msgspec

from pyinit.init.lifecycle_events import Action
from pyinit.spec.service import ServiceSpec


class State(StrEnum):
    INACTIVE = "inactive"
    WAITING = "waiting"
    SPAWNING = "spawning"
    STARTING = "starting"
    RUNNING = "running"
    STOP_COMMAND = "stop-command"
    STOPPING = "stopping"
    ENDING = "ending"
    KILLING = "killing"
    STUCK = "stuck"
    BACKOFF = "backoff"
    COMPLETED = "completed"
    FAILED = "failed"


RESTING = frozenset({State.INACTIVE, State.COMPLETED, State.FAILED})
"""No process, no timer, and nothing to come unless somebody asks for it."""

COMING_UP = frozenset({State.WAITING, State.SPAWNING, State.STARTING})

GOING_DOWN = frozenset({State.STOP_COMMAND, State.STOPPING, State.ENDING, State.KILLING})

TIMED = frozenset({State.STARTING, State.RUNNING, State.BACKOFF, *GOING_DOWN})
"""States that may have a deadline."""

Goal = Literal["up", "down", "again"]
"""What is wanted: that it runs, that it does not, that it ends and runs again."""


class Verdict(msgspec.Struct, frozen=True):
    """How the last run ended. `status` is never 0 where it failed."""

    failed: bool
    status: int
    reason: str
    restart: bool = False
    """Restart, whatever the policy says: a check asked for it."""


class Life(msgspec.Struct, frozen=True):
    """Where a service stands. `since` is when it came into its state, `began` when its
    start or its stop began; times are those of the clock that `step` is given."""

    state: State = State.INACTIVE
    goal: Goal = "down"
    since: float = 0.0
    began: float = 0.0
    ready_at: float | None = None
    deadline: float | None = None
    watchdog: float = 0.0
    pid: int | None = None
    streak: int = 0
    restarts: int = 0
    verdict: Verdict | None = None


class Moment(NamedTuple):
    """What a row of the table looks at."""

    life: Life
    event: Any
    spec: ServiceSpec
    now: float
    random: Callable[[], float]


Outcome = tuple[Life, tuple[Action, ...]]
