"""The one place that decides how a command is spawned, for the thread that does it.

Two ways, because a fork of this process copies its page tables (2 to 3 ms) and
posix_spawn borrows the memory instead (0.6 ms), but can't do everything in the child:

- the usual way: a thread that has given up all that a workload must not have takes on the
  command's user for a moment and calls posix_spawn. Credentials, capabilities, seccomp,
  cgroup v1, and after unshare(CLONE_FS) working folder and umask belong to a thread, and
  the child inherits those of the thread that made it;
- the rare way, for a terminal, resource limits, privileges of its own, or a cgroup v2
  where libc's posix_spawn knows none: a fork, whose child does each step itself
  (`pyinit.init.child`).

Both run in threads of their own: the start of a command takes as long as the file system
that it is on.
"""

from __future__ import annotations

import os

from pyinit.init.command import Command, enter_folder, find_program
from pyinit.init.wear import limit_thread
from pyinit.linux.namespaces import CLONE_FS, unshare
from pyinit.linux.spawn import KNOWS_CGROUPS, posix_spawn
from pyinit.spec.privileges import SECCOMP_DEFAULT, Privileges

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal


def set_apart(privileges: Privileges, seccomp: bytes | None, *, limited: bool) -> None:
    """Make the calling thread one that spawns; `limited` for the usual way. Irrevocable.

    Raises Unsupported, SystemFault, OSError.
    """
    # Signals are the main thread's: it sleeps in epoll, and they should end that.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    unshare(CLONE_FS)
    os.chdir("/")
    if limited:
        limit_thread(privileges, seccomp)


def always_forks(privileges: Privileges, *, unified: bool) -> bool:
    """Whether no thread can spawn for these privileges, into leaves that may be cgroups v2.

    Resource limits belong to a process. A seccomp profile that is not our own may refuse a
    thread what it needs to spawn, or end PID 1 for it.
    """
    if unified and not KNOWS_CGROUPS:
        return True
    return bool(privileges.rlimits) or privileges.seccomp not in (None, SECCOMP_DEFAULT)


def needs_fork(command: Command) -> bool:
    """Whether the child has to do something that posix_spawn can't do for it."""
    return bool(command.terminal or command.privileges is not None or command.descriptors)


def spawn_in_thread(command: Command, cgroup: int | None = None) -> int:
    """Go to the command's folder, from / where the thread is, and spawn it.

    The thread is a limited one that wears the command's user. Raises CommandNotFound,
    CommandNotExecutable, UsageError, OSError.

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
