"""A forked child on its way to execve: each step is done by the child itself, in order.

Nothing here may return into the parent's code: the child executes or exits.
"""

from __future__ import annotations

import fcntl
import os
import signal
import termios
from collections.abc import Callable

from pyinit.errors import CommandNotExecutable, CommandNotFound, UsageError
from pyinit.init.command import Command, enter_folder, find_program
from pyinit.init.wear import apply_in_child
from pyinit.linux.clone import fork_into
from pyinit.linux.process import close_range
from pyinit.spec.privileges import Privileges

_RESULT_FD = 3


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
    try:
        pid = os.fork() if cgroup is None else fork_into(cgroup)
        if pid == 0:
            _become_command(command, privileges, seccomp, told)
        forked(pid)
    finally:
        os.close(told)
    try:
        with open(result, "rb") as file:
            answer = file.read()
    except BaseException:
        os.close(result)
        raise
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
        _prepare(command, told)
        apply_in_child(privileges, command.user, seccomp)
        path = find_program(command.argv[0], command.environment.get("PATH", ""))
        close_range(_RESULT_FD + 1)
        environment = dict(command.environment)
        os.execve(path, command.argv, environment)  # noqa: S606
    except BaseException as error:  # every way out of here ends the process
        _tell(error)
    finally:
        os._exit(125)


def _tell(error: BaseException) -> None:
    match error:
        case CommandNotFound():
            parts = ["found", "", error.command, error.reason]
        case CommandNotExecutable():
            parts = ["executable", "", error.command, error.reason]
        case OSError():
            parts = ["system", str(error.errno or 0), str(error.filename or ""), ""]
        case _:
            parts = ["usage", "", "", str(error)]
    os.write(_RESULT_FD, "\0".join(parts).encode(errors="replace"))


def _prepare(command: Command, told: int) -> None:
    """All that needs the powers of init."""
    os.setsid()
    stdio = _above(command.stdio)
    report = fcntl.fcntl(told, fcntl.F_DUPFD_CLOEXEC, 10)
    for target, source in enumerate(stdio):
        os.dup2(source, target)
    os.dup2(report, _RESULT_FD, inheritable=False)
    if command.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    enter_folder(command.workdir)
    os.umask(command.umask)


def _above(stdio: tuple[int, int, int]) -> list[int]:
    return [fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, 10) for source in stdio]
