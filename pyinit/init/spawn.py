"""Spawning on request: threads that start commands while PID 1 answers and reaps.

How a thread starts one is `pyinit.init.spawn_thread`'s. Each thread has the cgroup for its
next command ready before that is asked for, and makes another one when the command already
runs.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio
from msgspec import Struct

from pyinit.errors import PyinitError
from pyinit.init.child import fork_child
from pyinit.init.command import Command, execution_error
from pyinit.init.leaf import Leaf
from pyinit.init.leaves import Leaves
from pyinit.init.reaper import Child, Reaper
from pyinit.init.spawn_thread import always_forks, needs_fork, set_apart, spawn_in_thread
from pyinit.init.threads import start_thread
from pyinit.init.wear import become, take_off
from pyinit.linux.cgroups import LegacyGroup
from pyinit.spec.privileges import Privileges

# Threads of the usual way. A spawn holds one for half a millisecond, so more than the
# machine has processors would only wait for one another.
THREADS = 2
# How long a thread leaves the interpreter to the main one, in seconds.
ASIDE = 0.001


class _Job(Struct, frozen=True, eq=False):
    """A command to start as a child that is recorded, and what to call in the thread then."""

    command: Command
    child: Child
    on_start: Callable[[], None] | None


# The pid of the command, born in the cgroup of a descriptor; and what takes the thread back
# to its own place afterwards, whatever came of it.
_Spawn = Callable[[Command, int | None], int]
_TakeBack = Callable[[Command], None]


class Spawner:
    """Starts commands as children of PID 1, recorded with the reaper.

    `privileges` are the container's own; each command is born in a leaf of `leaves`.
    """

    def __init__(
        self,
        reaper: Reaper,
        privileges: Privileges,
        seccomp: bytes | None = None,
        leaves: Leaves | None = None,
    ) -> None:
        self._reaper = reaper
        self._privileges = privileges
        self._ambient = privileges.ambient_mask()
        self._seccomp = seccomp
        self._leaves = leaves
        unified = leaves is not None and leaves.unified
        self._forks = always_forks(privileges, unified=unified)
        self._usual = [
            self._start(self._in_limited_thread, self._take_back, limited=True)
            for _ in range(0 if self._forks else THREADS)
        ]
        self._rare = [self._start(self._fork, lambda command: None, limited=False)]

    def _start(self, spawn: _Spawn, take_back: _TakeBack, *, limited: bool) -> _Worker:
        worker = _Worker(self._reaper, self._leaves, spawn, take_back)

        def work() -> None:
            try:
                set_apart(self._privileges, self._seccomp, limited=limited)
                worker.prepare()
            except (PyinitError, OSError) as error:
                worker.unfit = error
            worker.work()

        start_thread(work, "spawn")
        return worker

    def begin(
        self, command: Command, child: Child, on_start: Callable[[], None] | None = None
    ) -> None:
        """Have the command started as `child`, which tells how that goes. Never blocks.

        `on_start` is called in the spawning thread, once the child has its pid. The child
        fails with CommandNotFound, CommandNotExecutable, UsageError (the working folder), or
        OSError (no process, memory or descriptor to be had).
        """
        self._reaper.spawn_begins(child)
        workers = self._rare if self._forks or needs_fork(command) else self._usual
        min(workers, key=_Worker.waiting).give(_Job(command, child, on_start))

    async def spawn(self, command: Command) -> Child:
        """Start the command. Raises what `begin` says; cancelled, the child runs all the same."""
        child = Child()
        self.begin(command, child)
        with trio.CancelScope(shield=True):
            await child.started()
        return child

    async def settled(self) -> None:
        """Return once each thread has left the cgroup of the last command it started.

        One that can't, for want of descriptors, keeps that command from being frozen.
        """
        token = trio.lowlevel.current_trio_token()
        for worker in (*self._usual, *self._rare):
            passed = trio.Event()
            worker.give(partial(worker.pass_by, partial(token.run_sync_soon, passed.set)))
            await passed.wait()

    def _in_limited_thread(self, command: Command, cgroup: int | None) -> int:
        become(command.user, self._ambient)
        return spawn_in_thread(command, cgroup)

    def _take_back(self, command: Command) -> None:
        take_off(command.user, self._ambient)
        if command.workdir != "/":
            os.chdir("/")

    def _fork(self, command: Command, cgroup: int | None) -> int:
        privileges = command.privileges or self._privileges
        return fork_child(command, privileges, self._seccomp, cgroup, self._reaper.forked)


class _Worker:
    """A spawning thread: its jobs, in a queue of its own, and what it does with them.

    A queue that several threads wait at wakes more of them than it has work for.
    """

    def __init__(
        self, reaper: Reaper, leaves: Leaves | None, spawn: _Spawn, take_back: _TakeBack
    ) -> None:
        self._jobs: queue.SimpleQueue[_Job | Callable[[], None]] = queue.SimpleQueue()
        self._done = 0
        self._given = 0
        self._reaper = reaper
        self._leaves = leaves
        self._spawn = spawn
        self._take_back = take_back
        # The job that came in place of a pause.
        self._next: _Job | Callable[[], None] | None = None
        self._leaf: Leaf | None = None
        # Of a command that it could not leave alone: on v1 the thread is in there.
        self._shared: Leaf | None = None
        self.unfit: Exception | None = None

    def prepare(self) -> None:
        """In the thread, before all else: become payload as far as a thread can."""
        if self._leaves is not None:
            self._leaves.enter_payload()
            self._leaf = self._leaves.prepare()

    def waiting(self) -> int:
        """How many jobs it has still to do."""
        return self._given - self._done

    def give(self, job: _Job | Callable[[], None]) -> None:
        """On the main thread: a command to start, or something to call."""
        self._given += 1
        self._jobs.put(job)

    def work(self) -> None:
        """In the thread, for ever."""
        while True:
            job, self._next = self._next or self._jobs.get(), None
            if isinstance(job, _Job):
                self._do(job)
            else:
                job()
            self._done += 1

    def _do(self, job: _Job) -> None:
        try:
            if self.unfit is not None:
                raise self.unfit.with_traceback(None)
            leaf = self._enter_leaf(job.command)
            try:
                pid = self._spawn(job.command, leaf.clone_into if leaf else None)
                # Before all else: the command may have ended, and its end be waited for.
                self._record(job.child, pid, leaf)
            finally:
                self._be_oneself(job.command)
        except PyinitError as error:
            self._reaper.spawn_failed(job.child, error)
        except OSError as error:
            self._reaper.spawn_failed(job.child, execution_error(job.command.argv[0], error))
        except Exception as error:  # a bug must fail the one spawn, not end the thread
            self._reaper.spawn_failed(job.child, error)
        else:
            if self._reaper.has_ended(pid):
                self._step_aside()
            self._started(job)

        if job.command.leaf is not None:
            self._return()

    def _record(self, child: Child, pid: int, leaf: Leaf | None) -> None:
        child.leaf = self._shared = leaf
        self._reaper.record(child, pid)

    def _step_aside(self) -> None:
        """The command has ended already: the main thread, which has an answer to give, comes first.

        It happens where the command ran on the processor of this thread.
        """
        with suppress(queue.Empty):
            self._next = self._jobs.get(timeout=ASIDE)

    def _be_oneself(self, command: Command) -> None:
        try:
            self._take_back(command)
        except OSError as error:
            self.unfit = error  # for what comes next; what was started runs

    def _enter_leaf(self, command: Command) -> Leaf | None:
        """Be where the child shall be born: in a leaf of its own, or in the thread's next."""
        if command.leaf is not None:
            for group in (*command.places, command.leaf.group):
                if isinstance(group, LegacyGroup):
                    group.attach_thread()
            self._leave_alone()
            return command.leaf
        self.move_on()
        return self._leaf

    def _return(self) -> None:
        """Leave the places of one command alone."""
        assert self._leaves is not None
        try:
            self._leaves.enter_payload()
            if self._leaf is not None and isinstance(self._leaf.group, LegacyGroup):
                self._leaf.group.attach_thread()
        except OSError:
            self._leaf = None  # the next job makes another one, and fails with the reason
        else:
            self._leave_alone()

    def _started(self, job: _Job) -> None:
        if job.on_start is not None:
            job.on_start()
        if job.command.leaf is None:
            self._leaf = None
            with suppress(OSError):  # the next job tries again, and fails with the reason
                self.move_on()

    def move_on(self) -> None:
        """Be in a fresh leaf, and leave the last command alone in its own. Raises OSError.

        Only then may that be frozen: a thread that is frozen holds up all of PID 1.
        """
        if self._leaves is None:
            return
        if self._leaf is None:
            self._leaf = self._leaves.prepare()
        self._leave_alone()

    def pass_by(self, tell: Callable[[], None]) -> None:
        """As a job: leave the last command alone if that failed before, and tell."""
        with suppress(OSError):
            self.move_on()
        tell()

    def _leave_alone(self) -> None:
        """The thread is no longer where the last command is: that can be frozen now."""
        if self._leaves is not None and self._shared is not None:
            self._leaves.take(self._shared)
            self._shared = None
