"""A command that is about to be spawned: all questions answered, nothing looked up later."""

from __future__ import annotations

import errno
import os
import stat

from msgspec import Struct

from pyinit.errors import CommandNotExecutable, CommandNotFound, SystemFault, UsageError
from pyinit.init.leaf import Leaf
from pyinit.init.users import User
from pyinit.linux.cgroups import LegacyGroup
from pyinit.linux.spawn import StringArray, string_array
from pyinit.spec.privileges import Privileges


class Environment(dict[str, str]):
    """Variables of a command, and of others like it: not to be changed once one has started."""

    __slots__ = ("_encoded",)

    def encoded(self) -> StringArray:
        """As execve(2) takes them, made when it is first asked for."""
        try:
            return self._encoded
        except AttributeError:
            words = [os.fsencode(f"{key}={value}") for key, value in self.items()]
            self._encoded: StringArray = string_array(words)
            return self._encoded


class Command(Struct, frozen=True, kw_only=True, eq=False):
    """What is executed, as whom, where.

    `stdio` are the descriptors that become 0, 1 and 2. With `terminal` they are the slave
    of a pty, which becomes the controlling terminal. `privileges` is set where they differ
    from the container's own. `descriptors` maps further numbers that the command has to
    descriptors here; with `listen_pid` it finds its own pid in LISTEN_PID (sd_listen_fds(3)).
    `leaf` is a cgroup made for it beforehand, `places` are v1 groups that it shall be in too.
    """

    argv: tuple[str, ...]
    environment: Environment
    workdir: str
    user: User
    stdio: tuple[int, int, int]
    terminal: bool = False
    privileges: Privileges | None = None
    umask: int = 0o022
    descriptors: dict[int, int] = {}
    listen_pid: bool = False
    leaf: Leaf | None = None
    places: tuple[LegacyGroup, ...] = ()


def enter_folder(path: str) -> None:
    """chdir, and make sure that we are below the root: see getcwd(2), "(unreachable)"."""
    try:
        os.chdir(path)
        inside = os.getcwd().startswith("/")
    except OSError as error:
        raise UsageError(f"workdir {path!r}: {error.strerror}") from None
    if not inside:
        raise UsageError(f"workdir {path!r} is outside the container's root")


def find_program(name: str, path: str) -> str:
    """The file that execvp(3) would run. Relative names count from the working folder.

    Raises CommandNotFound, CommandNotExecutable.
    """
    if "/" in name:
        return _checked(name, name)
    if not name:
        raise CommandNotFound("", "the command is empty: give the program to run")
    denied: CommandNotExecutable | None = None
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        try:
            return _checked(candidate, name)
        except CommandNotFound:
            continue
        except CommandNotExecutable as error:
            denied = error
    if denied is not None:
        raise denied
    raise CommandNotFound(name, f"command not found in PATH ({path})")


def _checked(candidate: str, name: str) -> str:
    try:
        found = os.stat(candidate)
    except OSError as error:
        if error.errno == errno.EACCES:
            raise CommandNotExecutable(name, "permission denied") from None
        raise CommandNotFound(name, "no such file") from None
    if stat.S_ISDIR(found.st_mode):
        raise CommandNotExecutable(name, "is a folder, not a program")
    if not found.st_mode & 0o111:
        raise CommandNotExecutable(name, "not executable; chmod +x it")
    return candidate


_NOT_EXECUTABLE = {
    errno.EACCES: "permission denied",
    errno.ENOEXEC: "not a program of this machine, and without a #! line",
    errno.EPERM: "not permitted",
    errno.ETXTBSY: "open for writing",
    errno.EINVAL: "a program that this kernel can't run",
    errno.ELIBBAD: "a damaged program",
    errno.E2BIG: "arguments and environment are too long",
    errno.EISDIR: "is a folder",
}


# What EAGAIN and the like mean where a process is to be made (fork(2)).
_LACKING = {
    errno.EAGAIN: "no more processes: --pids-limit, the user's nproc, or the machine's own limit",
    errno.ENOMEM: "no more memory",
    errno.EMFILE: "PID 1 has no more descriptors",
    errno.ENFILE: "the machine has no more open files",
}


def execution_error(name: str, error: OSError) -> Exception:
    """The error to show for a failed spawn: 127, 126, or what the kernel lacked."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return CommandNotFound(name, "the program or its interpreter does not exist")
    reason = _NOT_EXECUTABLE.get(error.errno or 0)
    if reason is not None:
        return CommandNotExecutable(name, reason)
    number = error.errno or 0
    return SystemFault(f"start {name}", OSError(number, _LACKING.get(number, error.strerror)))
