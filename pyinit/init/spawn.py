"""The one place that decides how a command is spawned.

Two ways, because a fork of this process copies its page tables (2 to 3 ms) and
posix_spawn borrows the memory instead (0.6 ms), but can't do everything in the child:

- the usual way: a thread that has given up all that a workload must not have takes on the
  command's user for a moment and calls posix_spawn. Credentials, capabilities, seccomp,
  and after unshare(CLONE_FS) working folder and umask belong to a thread, and the child
  inherits those of the thread that made it;
- the rare way, for a terminal, resource limits, privileges of its own, or a cgroup v2: a
  fork, whose child does each step itself (`pyinit.init.child`).

Both run in threads of their own, so that PID 1 answers and reaps meanwhile.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import trio

from pyinit.errors import PyinitError, UsageError
from pyinit.init.child import fork_child
from pyinit.init.command import Command, execution_error, find_program
from pyinit.init.reaper import Child, Reaper
from pyinit.init.wear import become, become_init, limit_thread
from pyinit.linux.cgroups import UnifiedGroup
from pyinit.linux.namespaces import CLONE_FS, unshare
from pyinit.linux.spawn import posix_spawn
from pyinit.spec.privileges import SECCOMP_DEFAULT, Privileges

# Threads of the usual way. A spawn holds one for half a millisecond, so more than the
# machine has processors would only wait for one another.
THREADS = 2

Outcome = int | Exception


@dataclass(slots=True)
class _Job:
    command: Command
    finish: Callable[[Outcome], None]


class Spawner:
    """Starts commands as children of PID 1, recorded with the reaper.

    `privileges` are the container's own; `in_thread` runs first in each spawning thread,
    and puts it into the payload's cgroup where cgroups know threads.
    """

    def __init__(
        self,
        reaper: Reaper,
        privileges: Privileges,
        seccomp: bytes | None = None,
        in_thread: Callable[[], None] | None = None,
    ) -> None:
        self._reaper = reaper
        self._privileges = privileges
        self._forks = always_forks(privileges)
        self._seccomp = seccomp
        self._in_thread = in_thread
        self._usual: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._rare: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        for _ in range(0 if self._forks else THREADS):
            self._start(self._usual, self._work_limited)
        self._start(self._rare, self._work_forking)

    @staticmethod
    def _start(jobs: queue.SimpleQueue[_Job | None], work: Callable[..., None]) -> None:
        threading.Thread(target=work, args=(jobs,), name="spawn", daemon=True).start()

    async def spawn(self, command: Command) -> Child:
        """Start the command. Not cancelled half-way: the child is recorded or there is none.

        Raises CommandNotFound, CommandNotExecutable, UsageError (the working folder),
        OSError (no process, memory or descriptor to be had).
        """
        done = trio.Event()
        outcome: Outcome = 0

        def finish(value: Outcome) -> None:
            nonlocal outcome
            outcome = value
            done.set()

        self._reaper.spawn_begins()
        pid: int | None = None
        try:
            jobs = self._rare if self._forks or needs_fork(command) else self._usual
            jobs.put(_Job(command, finish))
            with trio.CancelScope(shield=True):
                await done.wait()
            if isinstance(outcome, Exception):
                raise outcome
            pid = outcome
        finally:
            child = self._reaper.spawn_ended(pid)
        assert child is not None
        return child

    def _work_limited(self, jobs: queue.SimpleQueue[_Job | None]) -> None:
        unshare(CLONE_FS)
        if self._in_thread is not None:
            self._in_thread()
        work: Callable[[Command], int] = self._in_limited_thread
        try:
            limit_thread(self._privileges, self._seccomp)
        except PyinitError as error:
            work = _refusing(error)
        while (job := jobs.get()) is not None:
            self._answer(job, work)

    def _work_forking(self, jobs: queue.SimpleQueue[_Job | None]) -> None:
        unshare(CLONE_FS)
        if self._in_thread is not None:
            self._in_thread()
        while (job := jobs.get()) is not None:
            self._answer(job, self._fork)

    def _in_limited_thread(self, command: Command) -> int:
        return spawn_in_thread(command, self._privileges.ambient_mask())

    def _fork(self, command: Command) -> int:
        privileges = command.privileges or self._privileges
        return fork_child(command, privileges, self._seccomp, self._reaper.forked)

    def _answer(self, job: _Job, work: Callable[[Command], int]) -> None:
        outcome: Outcome
        try:
            outcome = work(job.command)
        except PyinitError as error:
            outcome = error
        except OSError as error:
            outcome = execution_error(job.command.argv[0], error)
        except Exception as error:  # a bug must fail the one spawn, not end the thread
            outcome = error
        try:
            self._token.run_sync_soon(job.finish, outcome)
        except trio.RunFinishedError:
            return


def always_forks(privileges: Privileges) -> bool:
    """Whether no thread can spawn for these privileges.

    Resource limits belong to a process. A seccomp profile that is not our own may refuse a
    thread what it needs to spawn, or end PID 1 for it.
    """
    return bool(privileges.rlimits) or privileges.seccomp not in (None, SECCOMP_DEFAULT)


def needs_fork(command: Command) -> bool:
    """Whether the child has to do something that posix_spawn can't do for it."""
    own_privileges = command.privileges is not None
    return command.terminal or own_privileges or isinstance(command.group, UnifiedGroup)


def _refusing(error: PyinitError) -> Callable[[Command], int]:
    """How a thread spawns that could not be limited: never."""

    def refuse(command: Command) -> int:
        raise error.with_traceback(None)

    return refuse


def spawn_in_thread(command: Command, ambient: int = 0) -> int:
    """Put the calling thread in the command's place, spawn, and take it back.

    `ambient` are the capabilities that a user other than root gets.
    """
    become(command.user, ambient)
    try:
        enter_folder(command.workdir)
        os.umask(command.umask)
        path = find_program(command.argv[0], command.environment.get("PATH", ""))
        return posix_spawn(
            os.fsencode(path),
            [os.fsencode(word) for word in command.argv],
            command.encoded_environment(),
            command.stdio,
        )
    finally:
        become_init()
        os.chdir("/")


def enter_folder(path: str) -> None:
    """chdir, and make sure that we are below the root: see getcwd(2), "(unreachable)"."""
    try:
        os.chdir(path)
        inside = os.getcwd().startswith("/")
    except OSError as error:
        raise UsageError(f"workdir {path!r}: {error.strerror}") from None
    if not inside:
        raise UsageError(f"workdir {path!r} is outside the container's root")
