"""All processes of one command: what it started, and what they started in turn.

With a cgroup of its own that is whoever lives there, also what called setsid and lost its
parents. Without one it is the command's session, all that descends from it, and what was
found to do so at an earlier look: the best that can be had.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterable
from typing import Protocol

from pyinit.init.faults import is_exhaustion
from pyinit.init.leaf import Leaf
from pyinit.init.processes import Stat, with_descendants
from pyinit.init.reaper import Child

_DEAD = frozenset("ZX")


class Table(Protocol):
    """Where processes are looked up: a ProcessTable, or what it said a moment ago."""

    def stats(self) -> Iterable[Stat]: ...


class Tree:
    """The processes of one child of PID 1."""

    def __init__(self, child: Child, table: Table) -> None:
        self._child = child
        self._table = table
        # Process and start time, which together name it for good.
        self._seen: dict[int, int] = {}

    @property
    def in_cgroup(self) -> bool:
        """Whether a cgroup holds the processes."""
        return self._leaf is not None

    @property
    def _leaf(self) -> Leaf | None:
        return self._child.leaf

    def is_gone(self) -> bool:
        """Whether it is certain that nothing of it is left."""
        try:
            return self._leaf.is_empty() if self._leaf is not None else not self.pids()
        except OSError as error:
            if not is_exhaustion(error) and error.errno != errno.ENODEV:
                raise
            # Somebody else removes a cgroup only when it is empty (cgroups(7)).
            return error.errno == errno.ENODEV

    def pids(self) -> set[int]:
        """The processes there are now. Raises OSError: EMFILE, ENFILE, ENOMEM; others too."""
        if self._leaf is None:
            return self._look()
        return set(self._leaf.pids())

    def signal(self, number: int) -> None:
        """Signal each process. Raises OSError as `pids`."""
        for pid in self.pids():
            quietly(os.kill, pid, number)

    def kill(self) -> None:
        """SIGKILL to all of it; `is_gone` tells when that has worked. Raises OSError as `pids`."""
        if self._leaf is None:
            self.signal(signal.SIGKILL)
        else:
            self._leaf.kill()

    def _look(self) -> set[int]:
        everybody = [stat for stat in self._table.stats() if stat.pid != 1]
        roots = {stat.pid for stat in everybody if self._is_root(stat)}
        members = with_descendants(roots, everybody)
        self._seen = {stat.pid: stat.start_ticks for stat in everybody if stat.pid in members}
        return {stat.pid for stat in everybody if stat.pid in members and stat.state not in _DEAD}

    def _is_root(self, stat: Stat) -> bool:
        if self._seen.get(stat.pid) == stat.start_ticks:
            return True
        # A session keeps its number from being used anew, but only until its last process
        # has gone; with the command alive there is no doubt whose session it is.
        return stat.session == self._child.pid and self._child.status is None


def quietly(send: Callable[[int, int], None], target: int, number: int) -> None:
    """Send a signal; that there is nobody to get it is no fault."""
    try:
        send(target, number)
    except ProcessLookupError:
        return
