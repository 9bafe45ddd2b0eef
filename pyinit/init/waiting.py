"""What start-up or shutdown is waiting for, for people to read."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pyinit.init.dependencies import StopOrder
from pyinit.init.life import COMING_UP, GOING_DOWN, State
from pyinit.init.unit import Unit


class Wait(msgspec.Struct, frozen=True):
    """One service that is on its way. `on` names the services that it waits for, `seconds`
    is how long it has been so, `left` when the next thing happens by itself."""

    service: str
    state: State
    what: str
    on: tuple[str, ...]
    seconds: float
    left: float | None = None


_WHAT = {
    State.SPAWNING: "is being started",
    State.STOP_COMMAND: "its stop-command has not ended",
    State.STOPPING: "has been asked to end, and has not",
    State.ENDING: "its main process has ended, others of it have not",
    State.KILLING: "has been killed, and is not gone",
    State.STUCK: "survived SIGKILL",
}


def waits(units: Mapping[str, Unit], stop_order: StopOrder, now: float) -> list[Wait]:
    """One entry for each service that is neither up nor down, nor held back for another."""
    found = []
    for unit in units.values():
        held = tuple(sorted(stop_order.held_by(unit.name)))
        if held and unit.up:
            found.append(_wait(unit, "stops after " + ", ".join(held), held, now))
        elif unit.life.state in COMING_UP | GOING_DOWN | {State.BACKOFF, State.STUCK}:
            on = tuple(sorted(unit.waits_for)) if unit.life.state is State.WAITING else ()
            found.append(_wait(unit, _what(unit, units), on, now))
    return found


def _wait(unit: Unit, what: str, on: tuple[str, ...], now: float) -> Wait:
    deadline = unit.life.deadline
    left = None if deadline is None else max(0.0, deadline - now)
    return Wait(unit.name, unit.life.state, what, on, now - unit.life.since, left)


def _what(unit: Unit, units: Mapping[str, Unit]) -> str:
    state = unit.life.state
    if state is State.WAITING:
        on = (f"{name} ({units[name].life.state})" for name in sorted(unit.waits_for))
        return "waits for " + ", ".join(on)
    if state is State.STARTING:
        ended = unit.spec.type == "oneshot"
        return "has not ended yet" if ended else "has not said that it is ready"
    if state is State.BACKOFF:
        reason = unit.life.verdict.reason if unit.life.verdict else ""
        return f"{reason}; is started again soon"
    return _WHAT[state]
