"""All processes of one command: what it started, and what they started in turn.

With a cgroup of its own that is whoever lives there, also what called setsid and lost its
parents. Without one it is the command's session, all that descends from it, and what was
found to do so at an earlier look: the best that can be had.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

from pyinit.init.census import CensusTaker
from pyinit.init.faults import is_exhaustion
from pyinit.init.leaf import Leaf
from pyinit.init.processes import Stat
from pyinit.init.reaper import Child

_DEAD = frozenset("ZX")


class Tree:
    """The processes of one child of PID 1."""

    def __init__(self, child: Child, taker: CensusTaker) -> None:
        self._child = child
        self._taker = taker
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
        """Signal each process, the command first. Raises OSError as `pids`.

        A shell that waits for one that is ended before it takes that for an ordinary end.
        """
        for pid in sorted(self.pids(), key=lambda pid: (pid != self._child.pid, pid)):
            quietly(os.kill, pid, number)

    def kill(self) -> None:
        """SIGKILL to all of it; `is_gone` tells when that has worked. Raises OSError as `pids`."""
        if self._leaf is None:
            self.signal(signal.SIGKILL)
        else:
            self._leaf.kill()

    def _look(self) -> set[int]:
        census = self._taker.census(self._child.since)
        roots = [pid for pid in self._seen if self._is_the_same(census.by_pid.get(pid))]
        if self._owns_session():
            roots += census.by_session.get(self._child.pid, ())
        members = census.with_descendants(roots)
        self._seen = {pid: census.by_pid[pid].start_ticks for pid in members}
        return {pid for pid in members if census.by_pid[pid].state not in _DEAD}

    def _is_the_same(self, stat: Stat | None) -> bool:
        return stat is not None and self._seen[stat.pid] == stat.start_ticks

    def _owns_session(self) -> bool:
        # A session keeps its number from being used anew, but only until its last process
        # has gone; with the command alive there is no doubt whose session it is.
        return self._child.status is None


def quietly(send: Callable[[int, int], None], target: int, number: int) -> None:
    """Send a signal; that there is nobody to get it is no fault."""
    try:
        send(target, number)
    except ProcessLookupError:
        return
