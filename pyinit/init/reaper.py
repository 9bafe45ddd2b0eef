"""The one owner of waiting: every child of PID 1 is reaped here and nowhere else.

SIGCHLD only says "look": signals of one kind merge, so each look goes on until nothing
is left. A child is recorded before it can be reaped: while a spawn is under way in a
thread, an unknown zombie may be that very child, and is left until the spawn has said so.

A child on its way to execve already belongs to the command's user, whose other processes
can stop it there; who spawns would wait with it for as long as they like. So a child that
is stopped before its execve is ended.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import trio

from pyinit.linux.process import shares_memory
from pyinit.spec.status import ExitStatus

# After so many in one go other tasks get their turn, before the rest is looked at.
BATCH = 2000


class Child:
    """A child somebody waits for. `status` is None until it has ended."""

    __slots__ = ("_ended", "pid", "status")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: ExitStatus | None = None
        self._ended: trio.Event | None = None

    async def wait(self) -> ExitStatus:
        """The status, once the child has ended."""
        if self.status is None:
            if self._ended is None:
                self._ended = trio.Event()
            await self._ended.wait()
        assert self.status is not None
        return self.status

    def finish(self, status: ExitStatus) -> None:
        self.status = status
        if self._ended is not None:
            self._ended.set()


class Reaper:
    """Children by pid, and the loop that reaps them.

    `on_orphan` is called with the pid and status of each process that nobody recorded.
    """

    def __init__(self, on_orphan: Callable[[int, ExitStatus], None]) -> None:
        self._children: dict[int, Child] = {}
        self._spawning = 0
        self._on_orphan = on_orphan
        self._alone = trio.Event()
        # Of the spawns under way: children that were forked, and children seen stopped.
        self._forked: set[int] = set()
        self._stopped: set[int] = set()
        self.orphans = 0

    def spawn_begins(self) -> None:
        """From now on an unknown zombie may be the child of a spawn under way."""
        self._spawning += 1
        self._alone = trio.Event()

    def forked(self, pid: int) -> None:
        """A spawn under way forked this child, which will execute. From any thread."""
        self._forked.add(pid)

    def spawn_ended(self, pid: int | None) -> Child | None:
        """The spawn is over: record its child, where there is one, and look again."""
        child = None
        if pid is not None:
            child = self._children[pid] = Child(pid)
            self._forked.discard(pid)
        self._spawning -= 1
        if not self._spawning:
            self._forked.clear()
            self._stopped.clear()
            self.reap()
        return child

    def adopt(self, pid: int) -> Child:
        """Record a child that was started before this reaper was."""
        child = self._children[pid] = Child(pid)
        return child

    def reap(self) -> None:
        """Reap every child that has ended. Never blocks."""
        if self._spawning:
            self._end_stopped()
        for _ in range(BATCH):
            pid, status = self._next()
            if not pid:
                return
            self._report(pid, ExitStatus.from_wait(status))
        trio.lowlevel.current_trio_token().run_sync_soon(self.reap, idempotent=True)

    def _end_stopped(self) -> None:
        """End the children of spawns under way that were stopped before they executed.

        One that posix_spawn made is known by its memory, which is still ours.
        """
        while (pid := _stopped_child()) is not None:
            self._stopped.add(pid)
        for pid in self._stopped - self._children.keys():
            if pid in self._forked or shares_memory(os.getpid(), pid):
                self._stopped.discard(pid)
                os.kill(pid, signal.SIGKILL)

    def _next(self) -> tuple[int, int]:
        try:
            if not self._spawning:
                return os.waitpid(-1, os.WNOHANG)
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None or found.si_pid not in self._children:
                return 0, 0
            return os.waitpid(found.si_pid, os.WNOHANG)
        except ChildProcessError:
            if not self._spawning:
                self._alone.set()
            return 0, 0

    def _report(self, pid: int, status: ExitStatus) -> None:
        child = self._children.pop(pid, None)
        if child is not None:
            child.finish(status)
        else:
            self.orphans += 1
            self._on_orphan(pid, status)

    async def wait_alone(self) -> None:
        """Return once PID 1 has no child left."""
        self._alone = trio.Event()
        self.reap()
        await self._alone.wait()


def _stopped_child() -> int | None:
    """A child that a signal stopped since the last look, or None."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WNOHANG)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid
