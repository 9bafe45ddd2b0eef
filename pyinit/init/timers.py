"""One deadline for each service, and one task that sleeps until the nearest of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush

import trio


class Timers:
    """Calls `fire` with a name and its deadline once that has come.

    Nothing wakes while no deadline is set. A deadline that only moves on, as a watchdog's
    does with each ping, costs no entry in the heap.
    """

    def __init__(self, fire: Callable[[str, float], None]) -> None:
        self._fire = fire
        self._deadlines: dict[str, float] = {}
        self._queued: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._changed = trio.Event()

    def arm(self, name: str, deadline: float) -> None:
        """Fire for `name` at `deadline`, and at no time that was set before."""
        self._deadlines[name] = deadline
        queued = self._queued.get(name)
        if queued is None or deadline < queued:
            self._queue(name, deadline)
            self._look_again(deadline)

    def disarm(self, name: str) -> None:
        """Do not fire for `name`."""
        deadline = self._deadlines.pop(name, None)
        if deadline is not None:
            self._look_again(deadline)

    def _queue(self, name: str, deadline: float) -> None:
        self._queued[name] = deadline
        heappush(self._heap, (deadline, name))

    def _look_again(self, deadline: float) -> None:
        """The sleep ends too late, or for nothing, when it was the nearest that changed."""
        if self._heap and deadline <= self._heap[0][0]:
            self._changed.set()

    async def run(self) -> None:
        """Serve for ever."""
        while True:
            self._changed = trio.Event()
            with trio.move_on_at(self._nearest()):
                await self._changed.wait()
            self._fire_due(trio.current_time())

    def _nearest(self) -> float:
        """The nearest deadline that holds; what was set before and moved is put right."""
        while self._heap:
            queued, name = self._heap[0]
            deadline = self._deadlines.get(name)
            if self._queued.get(name) == queued == deadline:
                return queued
            heappop(self._heap)
            if self._queued.get(name) == queued:
                del self._queued[name]
                if deadline is not None:
                    self._queue(name, deadline)
        return math.inf

    def _fire_due(self, now: float) -> None:
        while (deadline := self._nearest()) <= now:
            _, name = heappop(self._heap)
            del self._queued[name], self._deadlines[name]
            self._fire(name, deadline)
