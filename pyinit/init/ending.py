"""The end of the container: TERM to all that is left, a grace, KILL, nothing left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable

import structlog
import trio

from pyinit.init.census import Census
from pyinit.init.faults import unless_exhausted
from pyinit.init.processes import ProcessTable
from pyinit.init.reaper import Reaper

log = structlog.get_logger("init")


async def end_everything(
    reaper: Reaper,
    table: ProcessTable,
    deadline: float,
    hurry: trio.Event,
    tell: Callable[[str], None],
) -> None:
    """Return once no child of PID 1 is left.

    KILL comes at the `deadline` (trio's clock), which is a ceiling, or with `hurry`: a second
    request to end. `tell` hears of each stage: terminate, kill.
    """
    tell("terminate")
    broadcast(table, signal.SIGTERM)
    # A stopped process acts on TERM only once it goes on.
    broadcast(table, signal.SIGCONT)
    with trio.move_on_at(deadline) as scope:
        await first_of(reaper.wait_alone, hurry.wait)
    if scope.cancelled_caught:
        with unless_exhausted():
            log.warning("grace is over", left=len(table.pids()) - 1)
    if scope.cancelled_caught or hurry.is_set():
        tell("kill")
    while True:
        broadcast(table, signal.SIGKILL)
        with trio.move_on_after(1.0):
            await reaper.wait_alone()
            return


async def first_of(*waits: Callable[[], Awaitable[object]]) -> None:
    """Return as soon as one of them does."""
    async with trio.open_nursery() as nursery:

        async def wait(one: Callable[[], Awaitable[object]]) -> None:
            await one()
            nursery.cancel_scope.cancel()

        for one in waits:
            nursery.start_soon(wait, one)


def broadcast(table: ProcessTable, number: int) -> None:
    """Signal every process but PID 1; where init is not PID 1, all that descends from it."""
    targets = [-1] if os.getpid() == 1 else _descendants(table, os.getpid())
    for pid in targets:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _descendants(table: ProcessTable, own: int) -> list[int]:
    return sorted(Census(table.stats()).with_descendants({own}) - {own})
