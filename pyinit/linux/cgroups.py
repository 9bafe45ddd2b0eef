"""cgroups by directory descriptor: all that PID 1 can do where no cgroupfs is mounted.

A group is made, listed, frozen, killed and removed through one descriptor of its folder,
so none of it depends on a path after pivot_root. A *tracking* group is one whose leaves hold
the processes of one command or service each: in the freezer hierarchy on v1, in cgroup2
otherwise, which has `cgroup.kill` and `cgroup.freeze` without a single controller.

Each group that pyinit makes carries an extended attribute, kept by the kernel as long as
the group lives. One without it is never frozen, killed or removed.
Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
"""

from __future__ import annotations

import _signal
import contextlib
import errno
import os
import select
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self

MARK = "user.pyinit"
"""The extended attribute of a group made by pyinit (cgroupfs has user.* since Linux 5.7)."""

_LISTING = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RECHECK = 0.002
_BATCH = 200  # pidfds held at a time

_Pause = Callable[[float], object]


def read_at(directory: int, name: str) -> str:
    """A whole cgroup file below the descriptor `directory`. Raises OSError with the name."""
    opened = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        pieces = []
        while piece := os.read(opened, 65536):
            pieces.append(piece)
    finally:
        os.close(opened)
    return b"".join(pieces).decode("ascii", "replace")


def write_at(directory: int, name: str, text: str) -> None:
    """Write `text` in one write(2), as cgroup files ask. Raises OSError with the name."""
    opened = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(opened, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None
    finally:
        os.close(opened)


def has_file(directory: int, name: str) -> bool:
    """Whether the folder `directory` holds the file `name`."""
    return os.access(name, os.F_OK, dir_fd=directory)


def _kill_listed(group: Group, pids: list[int]) -> None:
    """SIGKILL to those of `pids` that are in the group once they can't be reused any more."""
    with contextlib.ExitStack() as stack:
        held = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                held[pid] = os.pidfd_open(pid)
                stack.callback(os.close, held[pid])
        for pid in held.keys() & set(group.all_pids()):
            with contextlib.suppress(ProcessLookupError):
                _signal.pidfd_send_signal(held[pid], _signal.SIGKILL)


class Watch:
    """Tells when a v2 event file (cgroup.events, memory.events) has changed.

    The descriptor of `fileno` becomes readable then, so trio and select can wait on it:
    it is an epoll set, because the file itself is always readable and tells by EPOLLPRI.
    """

    def __init__(self, directory: int, name: str) -> None:
        self._file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
        self._epoll = select.epoll()
        self._epoll.register(self._file, select.EPOLLPRI)
        self.read()

    def fileno(self) -> int:
        return self._epoll.fileno()

    def read(self) -> str:
        """What the file says now; from here on changes count as new."""
        return os.pread(self._file, 4096, 0).decode()

    def wait(self, seconds: float) -> bool:
        """Block until a change, at most `seconds`; whether there was one."""
        changed = bool(self._epoll.poll(max(seconds, 0.0)))
        if changed:
            self.read()
        return changed

    def close(self) -> None:
        self._epoll.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Group(ABC):
    """One cgroup of one hierarchy, by the descriptor of its folder, which it owns."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def fileno(self) -> int:
        return self.descriptor

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def mark(self, owner: str) -> None:
        """Say that pyinit made this group, for the container `owner`."""
        os.setxattr(self.descriptor, MARK, owner.encode())

    def owner(self) -> str | None:
        """The container that this group was made for; None if pyinit did not make it."""
        try:
            return os.getxattr(self.descriptor, MARK).decode("utf-8", "replace")
        except OSError as error:
            if error.errno in {errno.ENODATA, errno.EOPNOTSUPP, errno.ENODEV}:
                return None
            raise

    def require_ours(self) -> str:
        """The container's name. Raises PermissionError for a group that pyinit did not make."""
        owner = self.owner()
        if owner is None:
            raise PermissionError(errno.EPERM, "pyinit did not make this cgroup")
        return owner

    def make_child(self, name: str, owner: str | None = None) -> Self:
        """Make and open the group `name` below, for the same container as this one.

        `owner` is that container, where it is known. Raises FileExistsError, or OSError.
        """
        os.mkdir(name, 0o755, dir_fd=self.descriptor)
        try:
            child = self.open_child(name)
        except OSError:
            self.remove_child(name)
            raise
        try:
            child.mark(owner or self.owner() or name)
        except OSError:
            child.close()
            self.remove_child(name)
            raise
        return child

    def open_child(self, name: str) -> Self:
        """Open the group `name` below. Raises FileNotFoundError, or OSError."""
        return type(self)(os.open(name, _LISTING | os.O_NOFOLLOW, dir_fd=self.descriptor))

    def children(self) -> list[str]:
        """Names of the groups directly below."""
        # scandir reads from the descriptor's own offset, which listdir's dup would share.
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        with os.scandir(self.descriptor) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def remove_child(self, name: str) -> None:
        """Remove the empty group `name`; none there is success. Raises OSError: EBUSY in use."""
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=self.descriptor)

    def remove_tree(self, name: str) -> None:
        """Remove `name` with every group below it, the lowest first. Raises as remove_child."""
        with contextlib.suppress(OSError):
            # Most have none below, and then this is all.
            os.rmdir(name, dir_fd=self.descriptor)
            return
        try:
            child = self.open_child(name)
        except FileNotFoundError:
            return
        with child:
            for below in child.children():
                child.remove_tree(below)
        self.remove_child(name)

    def pids(self) -> list[int]:
        """Processes in this very group, as the reader's pid namespace numbers them.

        Those of other pid namespaces are left out. On v1 a process is listed where any
        of its threads is.
        """
        return [pid for pid in map(int, read_at(self.descriptor, "cgroup.procs").split()) if pid]

    def all_pids(self) -> list[int]:
        """Processes of this group and of every group below it."""
        found = self.pids()
        for name in self.children():
            with contextlib.suppress(FileNotFoundError), self.open_child(name) as child:
                found += child.all_pids()
        return found

    def attach(self, pid: int) -> None:
        """Move the process `pid` (0: the caller) here. Costs milliseconds on an idle machine."""
        write_at(self.descriptor, "cgroup.procs", str(pid))

    def enter(self) -> None:
        """Move the calling process, which has no other thread, here."""
        self.attach(0)

    @abstractmethod
    def populated(self) -> bool:
        """Whether a process lives here or below."""

    @abstractmethod
    def freeze(self) -> None:
        """Begin to freeze all that is here and below; `frozen` tells when it is done."""

    @abstractmethod
    def thaw(self) -> None:
        """Let all that is here run again."""

    @abstractmethod
    def frozen(self) -> bool:
        """Whether everything here and below has come to a stop."""

    @abstractmethod
    def kill(self) -> None:
        """Send SIGKILL to all that is here and below; `populated` tells when it is gone.

        Raises PermissionError for a group that pyinit did not make or that holds the caller.
        """

    def wait_until(self, state: str, seconds: float) -> bool:
        """Block until "empty" or "frozen", at most `seconds`: for the host side, not for PID 1."""
        reached = {"empty": lambda: not self.populated(), "frozen": self.frozen}[state]
        deadline = time.monotonic() + seconds
        with self._change() as changed:
            while not reached():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                changed(left)
        return True

    @contextlib.contextmanager
    def _change(self) -> Iterator[_Pause]:
        """A function that blocks until the group may have changed. v1 tells nobody: look again."""
        yield lambda seconds: time.sleep(min(seconds, _RECHECK))


class UnifiedGroup(Group):
    """A group of the cgroup2 hierarchy."""

    def _event(self, key: str) -> bool:
        return f"{key} 1" in read_at(self.descriptor, "cgroup.events").splitlines()

    def populated(self) -> bool:
        return self._event("populated")

    def frozen(self) -> bool:
        return self._event("frozen")

    def freeze(self) -> None:
        self.require_ours()
        write_at(self.descriptor, "cgroup.freeze", "1")

    def thaw(self) -> None:
        self.require_ours()
        write_at(self.descriptor, "cgroup.freeze", "0")

    def kill(self) -> None:
        self.require_ours()
        if os.getpid() in self.all_pids():
            raise PermissionError(errno.EPERM, "the caller itself is in this cgroup")
        write_at(self.descriptor, "cgroup.kill", "1")

    @contextlib.contextmanager
    def _change(self) -> Iterator[_Pause]:
        with Watch(self.descriptor, "cgroup.events") as watch:
            yield watch.wait

    def available(self) -> set[str]:
        """Controllers that this group can hand on."""
        return set(read_at(self.descriptor, "cgroup.controllers").split())

    def enable(self, controller: str) -> None:
        """Give the groups below `controller`. Raises OSError: EBUSY while processes live here."""
        write_at(self.descriptor, "cgroup.subtree_control", f"+{controller}")


class LegacyGroup(Group):
    """A group of a v1 hierarchy. Only the freezer's can be frozen.

    A thread may be elsewhere than its process, so `cgroup.procs` can name the caller
    when only a spawner thread of it is here: it is never signalled, and nothing is frozen
    for a kill then, for that would stop the caller's own thread.
    """

    def enter(self) -> None:
        self.attach_thread()

    def populated(self) -> bool:
        return bool(self.all_pids())

    def freeze(self) -> None:
        self.require_ours()
        write_at(self.descriptor, "freezer.state", "FROZEN")

    def thaw(self) -> None:
        self.require_ours()
        write_at(self.descriptor, "freezer.state", "THAWED")

    def frozen(self) -> bool:
        # The read itself makes the kernel look whether FREEZING is over.
        return read_at(self.descriptor, "freezer.state").strip() == "FROZEN"

    def kill(self) -> None:
        self.require_ours()
        freezes = has_file(self.descriptor, "freezer.state") and os.getpid() not in self.all_pids()
        if freezes:
            self.freeze()
        try:
            pids = [pid for pid in self.all_pids() if pid != os.getpid()]
            for start in range(0, len(pids), _BATCH):
                _kill_listed(self, pids[start : start + _BATCH])
        finally:
            if freezes:
                self._thaw_tree()

    def _thaw_tree(self) -> None:
        write_at(self.descriptor, "freezer.state", "THAWED")
        for name in self.children():
            with contextlib.suppress(FileNotFoundError), self.open_child(name) as child:
                child._thaw_tree()

    def attach_thread(self) -> None:
        """Move the calling thread here; what it forks from then on starts here.

        0 is for the caller, and a thread that moves itself takes no lock that waits for an
        RCU grace period (cgroup_procs_write_start): 0.1 ms where a pid costs 8 when the
        machine was idle.
        """
        write_at(self.descriptor, "tasks", "0")


def open_group(directory: str | int) -> Group:
    """The group at a path, or whose folder's descriptor (then owned) is given. Raises OSError."""
    descriptor = os.open(directory, _LISTING) if isinstance(directory, str) else directory
    unified = has_file(descriptor, "cgroup.controllers")
    return UnifiedGroup(descriptor) if unified else LegacyGroup(descriptor)


class PayloadGroups:
    """A payload's groups as PID 1 holds them: descriptors opened before the pivot.

    `tracking` is where leaves are made, one for each command and service, to list, freeze
    and kill. `controllers` maps "memory", "cpu", "pids" … to the group whose files count
    and limit the whole payload: on v2 all the same, on v1 one per hierarchy.
    """

    __slots__ = ("controllers", "tracking")

    def __init__(self, tracking: Group, controllers: Mapping[str, Group]) -> None:
        self.tracking = tracking
        self.controllers = controllers

    @property
    def unified(self) -> bool:
        """Whether clone3(CLONE_INTO_CGROUP) can start a process in a leaf."""
        return isinstance(self.tracking, UnifiedGroup)

    def legacy(self) -> list[LegacyGroup]:
        """The v1 groups, each once: where a spawner thread must be for its children."""
        groups = dict.fromkeys([*self.controllers.values(), self.tracking])
        return [group for group in groups if isinstance(group, LegacyGroup)]

    def attach_thread(self) -> None:
        """Move the calling thread into the payload's v1 groups.

        What it forks then is counted and limited as payload from its first moment. On v2
        nothing is to be done: a thread can't leave its process, clone3 places children.
        Raises OSError; EPERM or EACCES where the group was made for somebody else.
        """
        for group in self.legacy():
            group.attach_thread()

    def descriptors(self) -> list[int]:
        """Every descriptor that must stay open in PID 1."""
        return [group.fileno() for group in {self.tracking, *self.controllers.values()}]

    def close(self) -> None:
        for group in {self.tracking, *self.controllers.values()}:
            group.close()
