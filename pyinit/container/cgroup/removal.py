"""Taking a container's groups back, with whatever still runs in them.

Only groups that carry the mark of this very container are touched: what is killed is
decided by the kernel's record of who made a group, never by a path alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Iterator

from pyinit.errors import PyinitError, SystemFault, UsageError
from pyinit.linux.cgroups import Group, UnifiedGroup, has_file, open_group

from . import tree
from .discovery import Hierarchy, discover
from .layout import FOLDER

_ROUND = 0.05


class StillPopulated(PyinitError):
    """Processes of a container's cgroup do not die, or can't be removed with it."""


def remove(name: str, paths: Iterable[str], seconds: float = 10.0) -> None:
    """Kill what is left in the groups of the container `name`, and remove them.

    `paths` are those of ContainerCgroup.paths; one that is gone is fine. Raises UsageError
    for a group that pyinit did not make for `name`, which is left alone, SystemFault, and
    StillPopulated when processes remain after `seconds`.
    """
    with contextlib.ExitStack() as stack:
        groups = []
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                groups.append((path, stack.enter_context(_opened(name, path))))
        # The kernel removes no group that somebody is in.
        left = [(path, group) for path, group in groups if not _removed(path)]
        deadline = time.monotonic() + seconds
        # Where killing is one write it comes first, then where the frozen are thawed to die:
        # the rest is empty after that.
        for path, group in sorted(left, key=lambda pair: _turn(pair[1])):
            _end_all(path, group, deadline)
    for path, _ in left:
        _unmake(path, deadline)


def _removed(path: str) -> bool:
    try:
        tree.unmake(path)
    except OSError:
        return False
    return True


def remove_stale(name: str, path: str) -> None:
    """Remove the group at `path` if pyinit made it for `name` and nobody is in it any more.

    Its maker was ended before it could; whoever makes a container of that name may. What is
    populated, or not ours, is left as it is.
    """
    try:
        with open_group(path) as group:
            if group.populated() or not _is_ours(group, path, name):
                return
        _unmake(path, time.monotonic() + 1.0)
    except (OSError, PyinitError):
        return


def remove_all_stale(name: str) -> None:
    """`remove_stale` for the group of that name in every hierarchy."""
    for hierarchy in discover():
        for above, below, _ in os.walk(hierarchy.mountpoint):
            if os.path.basename(above) == FOLDER:
                if name in below:
                    remove_stale(name, os.path.join(above, name))
                below.clear()


def _turn(group: Group) -> int:
    if isinstance(group, UnifiedGroup):
        return 0
    return 1 if has_file(group.descriptor, "freezer.state") else 2


def _opened(name: str, path: str) -> Group:
    """The container's group at `path`. Raises UsageError when it isn't, FileNotFoundError."""
    if os.path.basename(path) != name or os.path.basename(os.path.dirname(path)) != FOLDER:
        raise UsageError(f"cgroup {path} is not where pyinit puts container {name}: left alone")
    group = open_group(path)
    if group.owner() != name:
        group.close()
        raise UsageError(f"cgroup {path} was not made by pyinit for {name}: left alone")
    return group


def _end_all(path: str, group: Group, deadline: float) -> None:
    """Kill until nobody is left: a process may have forked between the list and the kill."""
    while group.populated():
        if time.monotonic() > deadline:
            pids = ", ".join(map(str, group.all_pids()[:5]))
            raise StillPopulated(f"cgroup {path}: processes {pids} do not die; try again later")
        try:
            group.kill()
        except OSError as error:
            raise SystemFault(f"kill what is in cgroup {path}", error) from None
        group.wait_until("empty", _ROUND)


def _unmake(path: str, deadline: float) -> None:
    """Remove the groups; on v1 one is busy for a moment after its last process ended."""
    while True:
        try:
            tree.unmake(path)
        except OSError as error:
            if error.errno not in {errno.EBUSY, errno.ENOTEMPTY} or time.monotonic() > deadline:
                raise SystemFault(f"remove cgroup {path}", error) from None
            time.sleep(0.001)
        else:
            return


def is_populated(path: str) -> bool:
    """Whether a process lives in the group or below. Raises OSError."""
    with open_group(path) as group:
        return group.populated()


def _is_ours(group: Group, path: str, name: str) -> bool:
    """Whether pyinit made the group for `name`.

    A maker that was killed between making a group and marking it leaves one without a mark:
    nothing is in it, and below a group marked as shared there is nobody else's.
    """
    owner = group.owner()
    if owner is not None:
        return owner == name
    return not group.children() and not group.populated() and tree.is_shared(os.path.dirname(path))


def leftovers(hierarchies: Iterable[Hierarchy] | None = None) -> dict[str, list[str]]:
    """All groups on this machine that pyinit made for a container: its name, and their paths."""
    found: dict[str, list[str]] = {}
    for hierarchy in discover() if hierarchies is None else hierarchies:
        for path, owner in _containers(hierarchy.mountpoint):
            found.setdefault(owner, []).append(path)
    return found


def _containers(mountpoint: str) -> Iterator[tuple[str, str]]:
    for folder, below, _ in os.walk(mountpoint):
        if os.path.basename(folder) != FOLDER:
            continue
        for name in below:
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError), open_group(path) as group:
                if group.owner() == name:
                    yield path, name
        below.clear()  # a container's own groups need no look
