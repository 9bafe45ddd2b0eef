"""Starting the main command, from an interpreter that has hardly loaded anything.

A fork and not posix_spawn: the child has a terminal to take, and the interpreter is small
yet, so the fork takes little more (1.0 ms against 0.6).
"""

from __future__ import annotations

import errno
import os

from pyinit.init.entrypoint.options import GROUP, SESSION, Options
from pyinit.init.entrypoint.report import Report
from pyinit.init.forwarding import HANDLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Iterator
    from typing import NoReturn
else:
    import _signal

NOT_FOUND = 127
NOT_EXECUTABLE = 126

Environment = dict[bytes, bytes]


class Payload:
    """The main command: its pid, and whether it was executed."""

    __slots__ = ("executed", "pid")

    def __init__(self, pid: int, *, executed: bool) -> None:
        self.pid = pid
        self.executed = executed


def block_signals() -> None:
    """Keep every signal until somebody is there to take it.

    Python's handler of SIGINT goes: it would raise KeyboardInterrupt anywhere. SIGCHLD may
    be inherited as ignored, and then the kernel would throw the status away.
    """
    _signal.pthread_sigmask(_signal.SIG_BLOCK, HANDLED)
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


class Gate:
    """What holds the command up, right before it is executed, until services are up."""

    def __init__(self) -> None:
        self._waiting, self._opening = os.pipe2(os.O_CLOEXEC)

    def open(self) -> None:
        """Let the command through."""
        os.write(self._opening, b"!")

    def wait(self) -> None:
        """In the child: until it is open. Ends the process when init has gone."""
        os.close(self._opening)
        if not os.read(self._waiting, 1):
            os._exit(0)


def start(
    options: Options,
    environment: Environment,
    handed: tuple[int, ...],
    report: Report,
    gate: Gate | None = None,
) -> Payload:
    """Fork and execute the command. Returns once it is executed, or could not be; with a
    gate at once.

    `handed` are listening sockets that are not init's, given on by sd_listen_fds(3).
    A command that can't be executed has said so, and ends with 126 or 127.
    """
    leads_terminal = os.isatty(0) and os.getsid(0) == os.getpid()
    if leads_terminal and options.apart == SESSION:
        _let_go_of_terminal()
    result, told = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(options, environment, handed, report, told, gate)
    if gate is not None:
        # Its failure is known by its exit code. The pipe stays open: nobody has to read it.
        return Payload(pid, executed=True)
    os.close(told)
    executed = not os.read(result, 1)
    os.close(result)
    return Payload(pid, executed=executed)


def _let_go_of_terminal() -> None:
    """A session's leader that leaves its terminal gets HUP and CONT (ioctl_tty(2))."""
    before = {
        number: _signal.signal(number, _signal.SIG_IGN)
        for number in (_signal.SIGHUP, _signal.SIGCONT)
    }
    # What is ignored is dropped when it is unblocked, also where it came meanwhile.
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, tuple(before))
    _give_up_terminal()
    _signal.pthread_sigmask(_signal.SIG_BLOCK, tuple(before))
    for number, handler in before.items():
        _signal.signal(number, handler)


def _give_up_terminal() -> None:
    from fcntl import ioctl
    from termios import TIOCNOTTY

    try:
        ioctl(0, TIOCNOTTY)
    except OSError:
        return  # standard input is some other session's terminal


def _become(
    options: Options,
    environment: Environment,
    handed: tuple[int, ...],
    report: Report,
    told: int,
    gate: Gate | None,
) -> NoReturn:
    """The child's side: execute or exit."""
    code = NOT_EXECUTABLE
    try:
        _set_apart(options.apart)
        if handed:
            told = _hand_over(environment, handed, told)
        _reset_signals()
        if gate is not None:
            gate.wait()
        error = _execute(options.command, environment)
        name = options.command[0]
        os.write(told, b"!")
        code = NOT_FOUND if error.errno in (errno.ENOENT, errno.ENOTDIR) else NOT_EXECUTABLE
        report.error("can't execute the command", command=name, reason=error.strerror)
    except BaseException as error:  # whatever it is, the child must not become a second init
        report.error("can't start the command", reason=str(error))
    finally:
        os._exit(code)


def _set_apart(apart: str) -> None:
    if apart == SESSION and not _terminal_is_anothers():
        os.setsid()
        _take_terminal()
    elif apart in (SESSION, GROUP):
        os.setpgid(0, 0)
        if os.isatty(0):
            _take_foreground()


def _terminal_is_anothers() -> bool:
    """Whether standard input is the terminal of a session that this process is no leader of.

    A session of one's own would lose it: there the command becomes its foreground group.
    """
    if not os.isatty(0):
        return False
    try:
        os.tcgetpgrp(0)
    except OSError:
        return False  # nobody's, or let go of just now
    return True


def _take_terminal() -> None:
    if not os.isatty(0):
        return
    from fcntl import ioctl
    from termios import TIOCSCTTY

    try:
        ioctl(0, TIOCSCTTY, 0)
    except OSError:
        return  # it is another session's: the command runs without one, as under dumb-init


def _take_foreground() -> None:
    try:
        os.tcsetpgrp(0, os.getpgrp())
    except OSError:
        return


def _hand_over(environment: Environment, handed: tuple[int, ...], told: int) -> int:
    """Put the sockets on 3 and up, as sd_listen_fds(3) has it, and say for whom they are.

    Returns where `told` is now: it may have been in the way.
    """
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    above = 3 + len(handed)
    told = fcntl(told, F_DUPFD_CLOEXEC, above)
    moved = [fcntl(descriptor, F_DUPFD_CLOEXEC, above) for descriptor in handed]
    for descriptor in handed:
        os.close(descriptor)
    for place, descriptor in enumerate(moved):
        os.dup2(descriptor, 3 + place)
    environment[b"LISTEN_PID"] = str(os.getpid()).encode()
    return told


def _reset_signals() -> None:
    for number in range(1, _signal.NSIG):
        # None: a handler that Python did not install, which are 32 and 33 alone.
        if _signal.getsignal(number) not in (_signal.SIG_DFL, None):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _execute(command: list[str], environment: Environment) -> OSError:
    """execvp(3): returns the error that tells most of why nothing was executed."""
    failure = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for path in _candidates(command[0], environment):
        try:
            os.execve(path, command, environment)  # noqa: S606
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                _execute_as_script(path, command, environment)
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                failure = error
    return failure


def _candidates(name: str, environment: Environment) -> Iterator[bytes]:
    file = os.fsencode(name)
    if b"/" in file or not file:
        yield file
        return
    for folder in environment.get(b"PATH", b"/bin:/usr/bin").split(b":"):
        yield (folder or b".") + b"/" + file


def _execute_as_script(path: bytes, command: list[str], environment: Environment) -> None:
    """A file without a #! line is the shell's, as execvp(3) and so tini have it."""
    words = [b"/bin/sh", path, *map(os.fsencode, command[1:])]
    try:
        os.execve(words[0], words, environment)  # noqa: S606
    except OSError:
        return
