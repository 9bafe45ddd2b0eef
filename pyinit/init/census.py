"""Who descends from whom, read once for all who ask at about the same time."""

from __future__ import annotations

import time
from collections.abc import Iterable

from pyinit.init.processes import ProcessTable, Stat

# How old a look may be, in seconds; where one takes long, so many times as long as it took,
# so that a thousand trees that end together cost one look and not a thousand.
FRESH = 0.002
FRESH_TIMES = 4


class Census:
    """Every process but PID 1 at one moment."""

    __slots__ = ("_children", "by_pid", "by_session")

    def __init__(self, everybody: Iterable[Stat]) -> None:
        self.by_pid: dict[int, Stat] = {}
        self.by_session: dict[int, list[int]] = {}
        self._children: dict[int, list[int]] = {}
        for stat in everybody:
            if stat.pid != 1:
                self.by_pid[stat.pid] = stat
                self.by_session.setdefault(stat.session, []).append(stat.pid)
                self._children.setdefault(stat.ppid, []).append(stat.pid)

    def with_descendants(self, members: Iterable[int]) -> set[int]:
        """The pids of `members` and of all that descends from them."""
        found = set(members)
        waiting = list(found)
        while waiting:
            for pid in self._children.get(waiting.pop(), ()):
                if pid not in found:
                    found.add(pid)
                    waiting.append(pid)
        return found


class CensusTaker:
    """The last census, and a new one when it is too old."""

    def __init__(self, table: ProcessTable) -> None:
        self._table = table
        self._began = self._good_until = float("-inf")
        self._last = Census(())

    def census(self, since: float) -> Census:
        """One that was begun after `since` (time.monotonic), and not long ago."""
        now = time.monotonic()
        if self._began < since or now >= self._good_until:
            self._began = now
            self._last = Census(self._table.stats())
            took = time.monotonic() - now
            self._good_until = now + took + max(FRESH, FRESH_TIMES * took)
        return self._last
