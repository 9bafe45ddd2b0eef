"""The one owner of waiting: every child of PID 1 is reaped here and nowhere else.

SIGCHLD only says "look": signals of one kind merge, so each look goes on until nothing
is left. A child is recorded before it can be reaped: while a spawn is under way in a
thread, an unknown zombie may be that very child, and is left until the spawn has said so.

A child on its way to execve already belongs to the command's user, whose other processes
can stop it there; who spawns would wait with it for as long as they like. So a child that
is stopped before its execve is ended.

A spawning thread records its child itself, so that PID 1's main thread need not wake for
it. What the two share are single operations on a dict and a set, and two flags that each
side writes before it reads the other's: whoever comes second sees the first.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing

import structlog
import trio

from pyinit.init.leaf import Leaf
from pyinit.linux.process import shares_memory
from pyinit.linux.signalfd import SignalDescriptor
from pyinit.spec.status import ExitStatus

# After so many in one go other tasks get their turn, before the rest is looked at.
BATCH = 2000

log = structlog.get_logger("init")


class Child:
    """A child of PID 1, from the decision to spawn it to its end.

    `pid` is 0 until it runs, `failure` says why it never will, `status` is None until it has
    ended. `leaf` is the cgroup it was born in, `since` when it ran (time.monotonic).
    """

    __slots__ = (
        *("_settled", "_started", "_token", "_when_over"),
        *("failure", "leaf", "pid", "since", "status"),
    )

    def __init__(self, pid: int = 0) -> None:
        self.pid = pid
        self.since = time.monotonic()
        self.status: ExitStatus | None = None
        self.failure: Exception | None = None
        self.leaf: Leaf | None = None
        self._settled: trio.Event | None = None
        self._started: trio.Event | None = None
        self._when_over: list[Callable[[], None]] = []
        self._token: trio.lowlevel.TrioToken | None = None

    async def started(self) -> int:
        """The pid, once it runs. Raises what kept it from that."""
        if self._started is None:
            self._started = trio.Event()
            self._token = trio.lowlevel.current_trio_token()
        if not self.pid and self.failure is None:
            await self._started.wait()
        if self.failure is not None:
            raise self.failure
        return self.pid

    async def wait(self) -> ExitStatus:
        """The status, once the child has ended. Raises what kept it from running."""
        if self.status is None and self.failure is None:
            if self._settled is None:
                self._settled = trio.Event()
            await self._settled.wait()
        if self.failure is not None:
            raise self.failure
        assert self.status is not None
        return self.status

    def call_when_over(self, function: Callable[[], None]) -> None:
        """Have a function called as soon as there is a status or a failure; it may not raise."""
        self._when_over.append(function)

    def finish(self, status: ExitStatus) -> None:
        """It was reaped."""
        self.status = status
        self._over()

    def fail(self, failure: Exception) -> None:
        """It could not be spawned. On the main thread."""
        self.failure = failure
        self._over()

    def announce(self) -> None:
        """In the spawning thread: whoever waits for the start is woken, if anybody does."""
        if self._token is not None and self._started is not None:
            self._token.run_sync_soon(self._started.set)

    def _over(self) -> None:
        for function in self._when_over:
            try:
                function()
            except Exception:  # whoever waits for the others' ends must not suffer from it
                log.exception("the end of a child could not be told", pid=self.pid)
        self._when_over.clear()
        for event in (self._settled, self._started):
            if event is not None:
                event.set()


class Reaper:
    """Children by pid, and the loop that reaps them.

    `on_orphan` is called with the pid and status of each process that nobody recorded.
    """

    def __init__(self, on_orphan: Callable[[int, ExitStatus], None]) -> None:
        self._children: dict[int, Child] = {}
        self._spawning: set[Child] = set()
        self._left_one = False
        # Of the spawns under way: children that were forked, and children seen stopped.
        self._forked: set[int] = set()
        self._stopped: set[int] = set()
        self._on_orphan = on_orphan
        self._token = trio.lowlevel.current_trio_token()
        self._alone: trio.Event | None = None
        self.orphans = 0

    async def watch(self) -> None:
        """Reap whenever SIGCHLD comes, for ever. To be run on the main thread.

        The signal is blocked and read from a descriptor, which ends the loop's sleep as
        anything else does: a handler costs two turns of the loop, and six system calls.
        """
        mine = {signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, mine)
        try:
            with closing(SignalDescriptor(mine)) as signals:
                while True:
                    self.reap()
                    await trio.lowlevel.wait_readable(signals.fileno())
                    signals.take()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, mine)

    def look_soon(self, *_signal: object) -> None:
        """Reap in the loop's next turn. From any thread, and a handler for SIGCHLD."""
        self._token.run_sync_soon(self.reap, idempotent=True)

    def spawn_begins(self, child: Child) -> None:
        """From now on an unknown zombie may be this child."""
        self._spawning.add(child)

    def forked(self, pid: int) -> None:
        """A spawn under way forked this child, which will execute. From any thread."""
        self._forked.add(pid)

    def record(self, child: Child, pid: int) -> None:
        """The child runs. In the thread that spawned it."""
        child.since = time.monotonic()
        child.pid = pid
        self._children[pid] = child
        self._forked.discard(pid)
        self._spawning.discard(child)
        if self._left_one:
            self.look_soon()
        child.announce()

    def has_ended(self, pid: int) -> bool:
        """Whether a child waits to be reaped, or was. In the thread that spawned it."""
        try:
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return found is not None

    def spawn_failed(self, child: Child, failure: Exception) -> None:
        """There will be no such child. In the thread that tried."""
        self._token.run_sync_soon(self._fail, child, failure)

    def _fail(self, child: Child, failure: Exception) -> None:
        self._spawning.discard(child)
        child.fail(failure)
        self.reap()

    def adopt(self, pid: int, status: ExitStatus | None = None) -> Child:
        """Record a child that was started before this reaper was, and maybe waited for."""
        child = Child(pid)
        if status is None:
            self._children[pid] = child
        else:
            child.finish(status)
        return child

    def forget(self, child: Child) -> None:
        """Nobody waits for it any more; where it still is, it is an orphan like others."""
        if self._children.get(child.pid) is child:
            del self._children[child.pid]

    def reap(self) -> None:
        """Reap every child that has ended. Never blocks."""
        if self._spawning:
            self._end_stopped()
        else:
            self._forked.clear()
            self._stopped.clear()
        for _ in range(BATCH):
            pid, status = self._next()
            if not pid:
                return
            self._report(pid, ExitStatus.from_wait(status))
        self.look_soon()

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
            self._left_one = True
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None and found.si_pid not in self._children:
                return self._next_known()
            self._left_one = False
            return (0, 0) if found is None else os.waitpid(found.si_pid, os.WNOHANG)
        except ChildProcessError:
            self._left_one = False
            if self._alone is not None and not self._spawning:
                self._alone.set()
            return 0, 0

    def _next_known(self) -> tuple[int, int]:
        """Past a zombie that nobody knows yet: a spawn may take as long as its file system."""
        for pid in list(self._children):
            found = os.waitpid(pid, os.WNOHANG)
            if found[0]:
                return found
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
        self._alone = alone = trio.Event()
        self.reap()
        await alone.wait()


def _stopped_child() -> int | None:
    """A child that a signal stopped since the last look, or None."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WNOHANG)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid
