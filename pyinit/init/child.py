"""A forked child on its way to execve: each step is done by the child itself, in order.

Nothing here may return into the parent's code: the child executes or exits.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

from pyinit.errors import CommandNotExecutable, CommandNotFound, UsageError
from pyinit.init.command import Command, enter_folder, find_program
from pyinit.init.terminal import TIOCSCTTY
from pyinit.init.wear import apply_in_child
from pyinit.linux.clone import fork_into
from pyinit.linux.process import close_range
from pyinit.spec.privileges import Privileges

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

# What is moved out of the way goes here or higher.
_HIGH = 10


def fork_child(
    command: Command,
    privileges: Privileges,
    seccomp: bytes | None,
    cgroup: int | None = None,
    forked: Callable[[int], None] = lambda pid: None,
) -> int:
    """Fork and execute the command. Returns the child's pid once it has executed.

    `forked` is told the pid before it has. `cgroup` is the descriptor of the cgroup v2 that
    the child is born in.
    Raises what the child could not do: PyinitError, or OSError of the step that failed.
    """
    result, told = os.pipe2(os.O_CLOEXEC)
    with open(result, "rb") as file:
        try:
            pid = os.fork() if cgroup is None else fork_into(cgroup)
            if pid == 0:
                _become_command(command, privileges, seccomp, told)
            forked(pid)
        finally:
            os.close(told)
        answer = file.read()
    if answer:
        _raise_from(answer)
    return pid


def _raise_from(answer: bytes) -> None:
    """Raise what the child reports. The reaper takes the child itself."""
    kind, number, subject, text = answer.decode(errors="replace").split("\0", 3)
    match kind:
        case "found":
            raise CommandNotFound(subject, text)
        case "executable":
            raise CommandNotExecutable(subject, text)
        case "system":
            raise OSError(int(number), os.strerror(int(number)), subject)
    raise UsageError(text)


def _become_command(
    command: Command, privileges: Privileges, seccomp: bytes | None, told: int
) -> None:
    try:
        told = _place_descriptors(command, told)
        _prepare(command)
        apply_in_child(privileges, command.user, seccomp)
        path = find_program(command.argv[0], command.environment.get("PATH", ""))
        close_range(told + 1)
        environment = dict(command.environment)
        if command.listen_pid:
            environment["LISTEN_PID"] = str(os.getpid())
        os.execve(path, command.argv, environment)  # noqa: S606
    except BaseException as error:  # every way out of here ends the process
        _tell(told, error)
    finally:
        os._exit(125)


def _tell(told: int, error: BaseException) -> None:
    match error:
        case CommandNotFound():
            parts = ["found", "", error.command, error.reason]
        case CommandNotExecutable():
            parts = ["executable", "", error.command, error.reason]
        case OSError():
            parts = ["system", str(error.errno or 0), str(error.filename or ""), ""]
        case _:
            parts = ["usage", "", "", str(error)]
    os.write(told, "\0".join(parts).encode(errors="replace"))


def _place_descriptors(command: Command, told: int) -> int:
    """Give the command its descriptors, and close what lies between. Returns where `told` is.

    It is right above them, so that whatever lies higher can be closed in one go.
    """
    wanted = {**dict(enumerate(command.stdio)), **command.descriptors}
    end = max(wanted) + 1
    told = fcntl.fcntl(told, fcntl.F_DUPFD_CLOEXEC, max(_HIGH, end + 1))
    high = {number: _above(source, end + 1) for number, source in wanted.items()}
    for number in range(end):
        if number in high:
            os.dup2(high[number], number)
        else:
            _close(number)
    return os.dup2(told, end, inheritable=False)


def _above(descriptor: int, least: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(_HIGH, least))


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return  # it was not open


def _prepare(command: Command) -> None:
    """All that needs the powers of init."""
    os.setsid()
    if command.terminal:
        fcntl.ioctl(0, TIOCSCTTY, 0)
    for number in range(1, _signal.NSIG):
        if number not in (_signal.SIGKILL, _signal.SIGSTOP, 32, 33):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    enter_folder(command.workdir)
    os.umask(command.umask)
