"""The end of the container: TERM to all that is left, a grace, KILL, nothing left behind."""

from __future__ import annotations

import os
import signal

import structlog
import trio

from pyinit.init.processes import ProcessTable
from pyinit.init.reaper import Reaper

log = structlog.get_logger("init")


async def end_everything(
    reaper: Reaper, table: ProcessTable, grace: float, hurry: trio.Event
) -> None:
    """Return once no child of PID 1 is left. The grace, in seconds, is a ceiling.

    A second request to end (`hurry`) cuts the grace short.
    """
    broadcast(table, signal.SIGTERM)
    # A stopped process acts on TERM only once it goes on.
    broadcast(table, signal.SIGCONT)
    with trio.move_on_after(grace) as scope:
        await _alone_or(reaper, hurry)
    if scope.cancelled_caught:
        log.warning("grace is over", seconds=grace, left=len(table.pids()) - 1)
    while True:
        broadcast(table, signal.SIGKILL)
        with trio.move_on_after(1.0):
            await reaper.wait_alone()
            return


async def _alone_or(reaper: Reaper, hurry: trio.Event) -> None:
    async with trio.open_nursery() as nursery:

        async def hurried() -> None:
            await hurry.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(hurried)
        await reaper.wait_alone()
        nursery.cancel_scope.cancel()


def broadcast(table: ProcessTable, number: int) -> None:
    """Signal every process but PID 1; where init is not PID 1, all that descends from it."""
    targets = [-1] if os.getpid() == 1 else sorted(table.descendants(os.getpid()))
    for pid in targets:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
