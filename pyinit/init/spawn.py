"""The one place that decides how a command is spawned.

Two ways, because a fork of this process copies its page tables (2 to 3 ms) and
posix_spawn borrows the memory instead (0.6 ms), but can't do everything in the child:

- the usual way: a thread that has given up all that a workload must not have takes on the
  command's user for a moment and calls posix_spawn. Credentials, capabilities, seccomp,
  cgroup v1, and after unshare(CLONE_FS) working folder and umask belong to a thread, and
  the child inherits those of the thread that made it;
- the rare way, for a terminal, resource limits, privileges of its own, or a cgroup v2
  where libc's posix_spawn knows none: a fork, whose child does each step itself
  (`pyinit.init.child`).

Both run in threads of their own, so that PID 1 answers and reaps meanwhile. Each thread has
the cgroup for its next command ready before that is asked for, and makes another one when
the command already runs.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable
from functools import partial

import trio
from msgspec import Struct

from pyinit.errors import PyinitError
from pyinit.init.child import fork_child
from pyinit.init.command import Command, enter_folder, execution_error, find_program
from pyinit.init.leaves import Leaf, Leaves
from pyinit.init.reaper import Child, Reaper
from pyinit.init.wear import become, limit_thread, take_off
from pyinit.linux.cgroups import LegacyGroup
from pyinit.linux.namespaces import CLONE_FS, unshare
from pyinit.linux.spawn import KNOWS_CGROUPS, posix_spawn
from pyinit.spec.privileges import SECCOMP_DEFAULT, Privileges

# Threads of the usual way. A spawn holds one for half a millisecond, so more than the
# machine has processors would only wait for one another.
THREADS = 2


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
        self._forks = always_forks(privileges) or (
            leaves is not None and leaves.unified and not KNOWS_CGROUPS
        )
        self._usual = [
            self._start(self._in_limited_thread, self._take_back, limited=True)
            for _ in range(0 if self._forks else THREADS)
        ]
        self._rare = [self._start(self._fork, lambda command: None, limited=False)]

    def _start(self, spawn: _Spawn, take_back: _TakeBack, *, limited: bool) -> _Worker:
        worker = _Worker(self._reaper, self._leaves, spawn, take_back)

        def work() -> None:
            # Signals are the main thread's: it sleeps in epoll, and they should end that.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                unshare(CLONE_FS)
                os.chdir("/")
                if limited:
                    limit_thread(self._privileges, self._seccomp)
                worker.prepare()
            except (PyinitError, OSError) as error:
                worker.unfit = error
            worker.work()

        threading.Thread(target=work, name="spawn", daemon=True).start()
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
        workers = self._rare if self._needs_fork(command) else self._usual
        min(workers, key=_Worker.waiting).give(_Job(command, child, on_start))

    async def spawn(self, command: Command) -> Child:
        """Start the command. Raises what `begin` says; cancelled, the child runs all the same."""
        child = Child()
        self.begin(command, child)
        with trio.CancelScope(shield=True):
            await child.started()
        return child

    def _needs_fork(self, command: Command) -> bool:
        """Whether the child has to do something that posix_spawn can't do for it."""
        if self._forks or command.terminal or command.privileges is not None:
            return True
        return bool(command.descriptors)

    async def settled(self) -> None:
        """Return once each thread has left the cgroup of the last command it started."""
        token = trio.lowlevel.current_trio_token()
        for worker in (*self._usual, *self._rare):
            passed = trio.Event()
            worker.give(partial(token.run_sync_soon, passed.set))
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
        self._leaf: Leaf | None = None
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
            job = self._jobs.get()
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
            self._started(job)

        if job.command.leaf is not None:
            self._return()

    def _record(self, child: Child, pid: int, leaf: Leaf | None) -> None:
        child.leaf = leaf
        if self._leaves is not None and leaf is not None:
            self._leaves.take(leaf)
        self._reaper.record(child, pid)

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
            return command.leaf
        if self._leaves is not None and self._leaf is None:
            self._leaf = self._leaves.prepare()
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

    def _started(self, job: _Job) -> None:
        if job.on_start is not None:
            job.on_start()
        if self._leaves is not None and job.command.leaf is None:
            self._leave(self._leaves)

    def _leave(self, leaves: Leaves) -> None:
        """Leave the command alone in its leaf, in a fresh one for the next."""
        self._leaf = None
        try:
            self._leaf = leaves.prepare()
        except OSError:
            return  # the next job tries again, and fails with the reason


def always_forks(privileges: Privileges) -> bool:
    """Whether no thread can spawn for these privileges.

    Resource limits belong to a process. A seccomp profile that is not our own may refuse a
    thread what it needs to spawn, or end PID 1 for it.
    """
    return bool(privileges.rlimits) or privileges.seccomp not in (None, SECCOMP_DEFAULT)


def spawn_in_thread(command: Command, cgroup: int | None = None) -> int:
    """Go to the command's folder, from / where the thread is, and spawn it.

    Until the spawn itself nothing here lets go of the GIL, for a command given by its path
    and run in /: the main thread, on its way to sleep, would take it and give it back, which
    are two more threads to wake.
    """
    if command.workdir != "/":
        enter_folder(command.workdir)
    os.umask(command.umask)
    name = command.argv[0]
    in_path = "/" not in name
    program = find_program(name, command.environment.get("PATH", "")) if in_path else name
    try:
        return posix_spawn(
            os.fsencode(program),
            [os.fsencode(word) for word in command.argv],
            command.environment.encoded(),
            command.stdio,
            cgroup,
        )
    except OSError:
        find_program(program, "")  # knows more of what is wrong with it than the kernel says
        raise
