"""What can happen to a service, and what its machine asks for: two closed vocabularies."""

from __future__ import annotations

import msgspec

from pyinit.spec.service import CheckAction


class Event(msgspec.Struct, frozen=True):
    """Something that happened to a service, or that somebody wants of it."""


class Start(Event, frozen=True):
    """It shall run."""


class Stop(Event, frozen=True):
    """It shall not run."""


class Restart(Event, frozen=True):
    """It shall run afresh."""


class Hurry(Event, frozen=True):
    """What is left of its grace is cancelled."""


class Proceed(Event, frozen=True):
    """All that it waits for is ready, or has given up where that may be."""


class Blocked(Event, frozen=True):
    """Something that it requires has failed."""

    reason: str


class Spawned(Event, frozen=True):
    """Its main process is there."""

    pid: int


class SpawnFailed(Event, frozen=True):
    """There is no process. `status` is 126 or 127, as a shell would say it."""

    status: int
    reason: str


class Ready(Event, frozen=True):
    """It said that it is ready."""


class Exited(Event, frozen=True):
    """Its main process ended: by itself with `code`, or by `signal`."""

    code: int | None = None
    signal: int | None = None

    @property
    def status(self) -> int:
        """As a shell would say it: the code, or 128 + n for signal n."""
        return 128 + self.signal if self.signal is not None else self.code or 0


class Gone(Event, frozen=True):
    """None of its processes is left. Comes once, after Exited."""


class Elapsed(Event, frozen=True):
    """The clock has reached `deadline`."""

    deadline: float


class WatchdogPing(Event, frozen=True):
    """It said that it is alive."""


class WatchdogTrigger(Event, frozen=True):
    """It said itself that it has to be treated as if the watchdog had been missed."""


class WatchdogPeriod(Event, frozen=True):
    """It asked for another period of the watchdog."""

    seconds: float


class Unhealthy(Event, frozen=True):
    """A check has failed as often as it may."""

    check: str
    action: CheckAction


class NewMain(Event, frozen=True):
    """Another of its processes is the main one from now on."""

    pid: int


class Extend(Event, frozen=True):
    """It needs so many seconds more, from now, for its start or its end."""

    seconds: float


class StopCommandEnded(Event, frozen=True):
    """The stop-command is over, however it went."""


class Action(msgspec.Struct, frozen=True):
    """Something for the supervisor to do."""


class Spawn(Action, frozen=True):
    """Start the command; answer with Spawned or SpawnFailed."""


class Signal(Action, frozen=True):
    """Send a signal to the main process, or to the whole tree as the kill-mode has it."""

    number: int
    whole: bool


class KillAll(Action, frozen=True):
    """KILL everything that the kill-mode reaches."""


class RunStopCommand(Action, frozen=True):
    """Start the stop-command; answer with StopCommandEnded."""


class EndStopCommand(Action, frozen=True):
    """Nobody waits for the stop-command any longer: KILL it."""


class Adopt(Action, frozen=True):
    """Watch `pid` as the main process; an exit of the earlier one no longer counts."""

    pid: int


class Arm(Action, frozen=True):
    """Send Elapsed at `deadline`, and at no other time set before."""

    deadline: float


class Disarm(Action, frozen=True):
    """Send no Elapsed."""


class EndContainer(Action, frozen=True):
    """The container shall end with `status`."""

    status: int
    reason: str


class Tell(Action, frozen=True):
    """An event for the log: `kind`, and what there is to say about it."""

    kind: str
    fields: dict[str, object] = {}
