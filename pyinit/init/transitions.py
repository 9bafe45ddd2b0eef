"""What each step in the life of a service does: one function per kind of step.

Each takes the moment and gives the life after it and the actions; which of them is for
which state and event is in the table of `pyinit.init.lifecycle`.
"""

from __future__ import annotations

import signal

from msgspec.structs import replace

from pyinit.init import backoff
from pyinit.init import lifecycle_events as ev
from pyinit.init.life import Life, Moment, Outcome, State, Verdict
from pyinit.init.lifecycle_events import Action, Tell
from pyinit.spec.service import ServiceSpec
from pyinit.spec.units import signal_name

KILL_PATIENCE = 10.0
"""Seconds that a process may take to die of KILL before it counts as stuck."""

# Coming up.


def begin(m: Moment) -> Outcome:
    """Somebody wants it: whatever was before is forgotten."""
    fresh = replace(m.life, streak=0, verdict=None)
    return _wait(fresh, m.now)


def _wait(life: Life, now: float) -> Outcome:
    return replace(
        life, state=State.WAITING, goal="up", deadline=None, ready_at=None, began=now
    ), ()


def proceed(m: Moment) -> Outcome:
    return replace(m.life, state=State.SPAWNING, watchdog=m.spec.watchdog), (ev.Spawn(),)


def blocked(m: Moment) -> Outcome:
    return _fail(m, Verdict(failed=True, status=1, reason=m.event.reason))


def spawned(m: Moment) -> Outcome:
    life = replace(m.life, pid=m.event.pid)
    told = Tell("started", {"pid": m.event.pid})
    if life.goal != "up":
        after, actions = _signal_to_stop(m, life)
        return after, (told, *actions)
    if m.spec.type == "simple":
        after, actions = _now_ready(m, life)
        return after, (told, *actions)
    limit = m.spec.time_to_start
    deadline = m.now + limit if limit else None
    return replace(life, state=State.STARTING, began=m.now, deadline=deadline), (told,)


def spawn_failed(m: Moment) -> Outcome:
    verdict = Verdict(failed=True, status=max(1, m.event.status), reason=m.event.reason)
    return rest(m._replace(life=replace(m.life, verdict=verdict)))


def ready(m: Moment) -> Outcome:
    if m.spec.type == "oneshot":
        return m.life, ()
    return _now_ready(m, m.life)


def _now_ready(m: Moment, life: Life) -> Outcome:
    deadline = m.now + life.watchdog if life.watchdog else None
    ready = replace(life, state=State.RUNNING, ready_at=m.now, deadline=deadline, verdict=None)
    return ready, (Tell("ready"),)


# What is wanted changes.


def want_up(m: Moment) -> Outcome:
    return replace(m.life, goal="up"), ()


def want_down(m: Moment) -> Outcome:
    return replace(m.life, goal="down"), ()


def want_again(m: Moment) -> Outcome:
    return replace(m.life, goal="again"), ()


def call_off(m: Moment) -> Outcome:
    """Nothing runs, and nothing shall."""
    life = replace(m.life, state=State.INACTIVE, goal="down", deadline=None)
    return life, (Tell("stopped"),)


def forget(m: Moment) -> Outcome:
    return replace(m.life, state=State.INACTIVE, goal="down"), ()


def stop(m: Moment) -> Outcome:
    return _begin_stop(m, replace(m.life, goal="down"))


def restart(m: Moment) -> Outcome:
    return _begin_stop(m, replace(m.life, goal="again"))


# Going down.


def _begin_stop(m: Moment, life: Life) -> Outcome:
    if not m.spec.stop_command:
        return _signal_to_stop(m, life)
    stopping = replace(
        life, state=State.STOP_COMMAND, began=m.now, deadline=m.now + m.spec.stop_timeout
    )
    return stopping, (Tell("stopping"), ev.RunStopCommand())


def _signal_to_stop(m: Moment, life: Life, number: int | None = None) -> Outcome:
    """Ask it to end. CONT follows, because a stopped process gets no other signal."""
    number = m.spec.stop_signal if number is None else number
    whole = m.spec.kill_mode != "process" and number != signal.SIGABRT
    stopping = replace(
        life, state=State.STOPPING, began=m.now, deadline=m.now + m.spec.stop_timeout
    )
    return stopping, (
        Tell("stopping", {"signal": signal_name(number)}),
        ev.Signal(number, whole),
        ev.Signal(signal.SIGCONT, whole),
    )


def after_stop_command(m: Moment) -> Outcome:
    """The stop-timeout is one for the command and what follows it."""
    after, actions = _signal_to_stop(m, m.life)
    return replace(after, began=m.life.began, deadline=m.life.deadline), actions[1:]


def exited(m: Moment) -> Outcome:
    """The main process ended by itself; what it left behind has to go as well."""
    life = replace(m.life, verdict=_judge(m), streak=_streak(m))
    deadline = m.now + m.spec.stop_timeout
    ending = replace(life, state=State.ENDING, pid=None, began=m.now, deadline=deadline)
    return ending, (_told_exit(m.event), *_signal_rest(m.spec))


def exited_in_stop(m: Moment) -> Outcome:
    """The main process ended as it was asked to; its grace goes on for what is left."""
    ending = replace(m.life, state=State.ENDING, pid=None)
    return ending, (_told_exit(m.event), *_signal_rest(m.spec))


def exited_in_stop_command(m: Moment) -> Outcome:
    after, actions = exited_in_stop(m)
    return after, (*actions, ev.EndStopCommand())


def exited_in_kill(m: Moment) -> Outcome:
    return replace(m.life, pid=None), (_told_exit(m.event),)


def _told_exit(event: ev.Exited) -> Tell:
    if event.signal is not None:
        return Tell("exited", {"signal": event.signal})
    return Tell("exited", {"code": event.code})


def _signal_rest(spec: ServiceSpec) -> tuple[Action, ...]:
    if spec.kill_mode == "process":
        return ()
    return ev.Signal(spec.stop_signal, whole=True), ev.Signal(signal.SIGCONT, whole=True)


def kill(m: Moment) -> Outcome:
    killing = replace(m.life, state=State.KILLING, deadline=m.now + KILL_PATIENCE)
    return killing, (Tell("killed"), ev.KillAll())


def kill_with_stop_command(m: Moment) -> Outcome:
    after, actions = kill(m)
    return after, (ev.EndStopCommand(), *actions)


def stuck(m: Moment) -> Outcome:
    return replace(m.life, state=State.STUCK, deadline=None), (Tell("stuck"),)


# What went wrong.


def _judge(m: Moment) -> Verdict:
    event: ev.Exited = m.event
    if event.signal is None:
        reason = f"exited with {event.code}"
    else:
        reason = f"killed by {signal_name(event.signal)}"
    early = m.life.state is State.STARTING and m.spec.type == "notify"
    if m.spec.succeeded(event.status) and not early:
        return Verdict(failed=False, status=event.status, reason=reason)
    if early:
        reason += " before it was ready"
    return Verdict(failed=True, status=event.status or 1, reason=reason)


def _streak(m: Moment) -> int:
    """A run that was healthy for long enough starts the count of restarts again."""
    ready_at = m.life.ready_at
    healthy = ready_at is not None and m.now - ready_at >= m.spec.backoff.reset_after
    return 0 if healthy else m.life.streak


def start_timed_out(m: Moment) -> Outcome:
    return _end_as_failed(m, f"not ready within {m.now - m.life.began:g} s")


def watchdog_missed(m: Moment) -> Outcome:
    """SIGABRT to the main process, for a core dump, as systemd.service(5) has it."""
    return _end_as_failed(m, "missed its watchdog", number=int(signal.SIGABRT))


def _end_as_failed(
    m: Moment, reason: str, *, restart: bool = False, number: int | None = None
) -> Outcome:
    verdict = Verdict(failed=True, status=1, reason=reason, restart=restart)
    return _signal_to_stop(m, replace(m.life, verdict=verdict, streak=_streak(m)), number)


def unhealthy(m: Moment) -> Outcome:
    reason = f"check {m.event.check} failed"
    if m.event.action == "restart":
        return _end_as_failed(m, reason, restart=True)
    if m.event.action == "shutdown":
        return m.life, (ev.EndContainer(1, reason),)
    return m.life, ()


# At rest again.


def rest(m: Moment) -> Outcome:
    """No process is left: start again, wait for that, or stay."""
    life = replace(m.life, pid=None, deadline=None)
    if life.goal == "down":
        return call_off(m._replace(life=life))
    if life.goal == "again":
        after, _ = begin(m._replace(life=life))
        return replace(after, restarts=life.restarts + 1), (Tell("stopped"),)
    # A run that ends while it is wanted was judged when it ended.
    assert life.verdict is not None
    rested = m._replace(life=life)
    if not _wants_restart(m.spec, life.verdict):
        return _settle(rested, life.verdict)
    if backoff.exhausted(m.spec.backoff, life.streak):
        tries = f"{life.verdict.reason} (the last of {life.streak + 1} attempts)"
        return _fail(rested, replace(life.verdict, reason=tries))
    return _back_off(rested, life.verdict)


def _wants_restart(spec: ServiceSpec, verdict: Verdict) -> bool:
    return (
        verdict.restart
        or spec.restart == "always"
        or (spec.restart == "on-failure" and verdict.failed)
    )


def _settle(m: Moment, verdict: Verdict) -> Outcome:
    if verdict.failed:
        return _fail(m, verdict)
    actions: tuple[Action, ...] = (Tell("completed"),)
    if m.spec.ends_container_on_success:
        actions += (ev.EndContainer(verdict.status, verdict.reason),)
    return replace(m.life, state=State.COMPLETED), actions


def _fail(m: Moment, verdict: Verdict) -> Outcome:
    """A failed service never has the status 0."""
    verdict = replace(verdict, failed=True, status=verdict.status or 1)
    actions: tuple[Action, ...] = (
        Tell("failed", {"reason": verdict.reason, "status": verdict.status}),
    )
    if m.spec.ends_container_on_failure:
        actions += (ev.EndContainer(verdict.status, verdict.reason),)
    return replace(m.life, state=State.FAILED, verdict=verdict, deadline=None), actions


def _back_off(m: Moment, verdict: Verdict) -> Outcome:
    seconds = backoff.delay(m.spec.backoff, m.life.streak, m.random)
    waiting = replace(
        m.life,
        state=State.BACKOFF,
        deadline=m.now + seconds,
        streak=m.life.streak + 1,
        restarts=m.life.restarts + 1,
    )
    told = {"seconds": round(seconds, 3), "reason": verdict.reason, "attempt": waiting.streak}
    return waiting, (Tell("restarting", told),)


def try_again(m: Moment) -> Outcome:
    return _wait(m.life, m.now)


# What it says about itself.


def ping(m: Moment) -> Outcome:
    deadline = m.now + m.life.watchdog if m.life.watchdog else None
    return replace(m.life, deadline=deadline), ()


def new_period(m: Moment) -> Outcome:
    return ping(m._replace(life=replace(m.life, watchdog=m.event.seconds)))


def period_for_later(m: Moment) -> Outcome:
    return replace(m.life, watchdog=m.event.seconds), ()


def new_main(m: Moment) -> Outcome:
    return replace(m.life, pid=m.event.pid), (ev.Adopt(m.event.pid),)


def extend(m: Moment) -> Outcome:
    """More time, never less, and never beyond `extend_limit` from where this began."""
    deadline = m.life.deadline
    if deadline is None:
        return m.life, ()
    furthest = min(m.now + m.event.seconds, m.life.began + m.spec.extend_limit)
    return replace(m.life, deadline=max(deadline, furthest)), ()
