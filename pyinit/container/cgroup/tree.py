"""A container's groups in one hierarchy: `<base>/pyinit/<name>` with `init` and `payload`."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from msgspec import Struct

from pyinit.errors import InUse, SystemFault, Unsupported
from pyinit.linux.cgroups import Group, UnifiedGroup, open_group, read_at, write_at

from . import layout
from .discovery import Hierarchy

SHARED = "-"
"""The mark of a group that several containers lie under."""

LEAVES = ("init", "payload")
_ATTEMPTS = 100
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_GONE = {errno.ENOENT, errno.ENODEV}
"""What a path gives, and the files of an open folder give, where a group was removed."""


class Tree(Struct, frozen=True):
    """The groups of one container in one hierarchy, open. `path` is that of `top`."""

    hierarchy: Hierarchy
    path: str
    top: Group
    init: Group
    payload: Group

    def close(self) -> None:
        for group in (self.top, self.init, self.payload):
            group.close()


def make(hierarchy: Hierarchy, base: str, name: str) -> Tree:
    """Make the groups for the container `name` below the group `base`.

    Raises InUse when there is one of that name, Unsupported when `base` may not be
    written, SystemFault for anything else; nothing is left behind then.
    """
    path = layout.container(base, name)
    try:
        top = _make_top(hierarchy, path)
    except FileExistsError:
        raise InUse(f"cgroup {path} exists: run `pyinit-ctl gc`, or take another name") from None
    except OSError as error:
        raise refused(path, error) from None
    with contextlib.ExitStack() as stack:
        stack.callback(unmake, path)
        stack.callback(top.close)
        try:
            init, payload = (stack.enter_context(top.make_child(leaf, name)) for leaf in LEAVES)
        except OSError as error:
            raise refused(path, error) from None
        stack.pop_all()
    return Tree(hierarchy, path, top, init, payload)


def reopen(hierarchy: Hierarchy, path: str) -> Tree:
    """Open groups made earlier. Raises OSError."""
    with contextlib.ExitStack() as stack:
        top = stack.enter_context(open_group(path))
        init, payload = (stack.enter_context(top.open_child(leaf)) for leaf in LEAVES)
        stack.pop_all()
    return Tree(hierarchy, path, top, init, payload)


def refused(path: str, error: OSError) -> Unsupported | SystemFault:
    """What to raise for an OSError met while making the group `path`."""
    if error.errno not in _REFUSED:
        return SystemFault(f"make cgroup {path}", error)
    way = "name a group that you own with --cgroup-parent, or run without limits"
    return Unsupported(f"cgroup {path} can't be made ({error.strerror}): {way}")


def unmake(path: str) -> None:
    """Remove the empty groups of one container, and shared ones above that this leaves empty.

    Raises OSError: EBUSY while a process is in one.
    """
    above, name = os.path.split(path)
    try:
        with open_group(above) as shared:
            shared.remove_tree(name)
    except FileNotFoundError:
        return
    _remove_shared(above)


def _remove_shared(path: str) -> None:
    with contextlib.suppress(OSError):  # used by another container, or gone already
        while is_shared(path):
            Path(path).rmdir()
            path = os.path.dirname(path)


def is_shared(path: str) -> bool:
    """Whether the group is one that pyinit made to hold those of containers."""
    with open_group(path) as group:
        return group.owner() == SHARED


def _make_top(hierarchy: Hierarchy, path: str) -> Group:
    for _ in range(_ATTEMPTS):
        try:
            _make_shared(hierarchy, os.path.dirname(path))
            os.mkdir(path)
        except OSError as error:
            if error.errno in _GONE:
                continue  # the last container there went, and took the shared group with it
            _remove_shared(os.path.dirname(path))
            raise
        return _opened(hierarchy, path, os.path.basename(path))
    raise FileNotFoundError(errno.ENOENT, "others keep removing the group above", path)


def _make_shared(hierarchy: Hierarchy, path: str) -> None:
    """Make the groups above a container's that are missing, each marked as shared.

    One that is there without a mark is somebody else's, and stays; or it is half made: by
    another launch at this moment, or by one that was killed in the middle.
    """
    missing = []
    above = path
    while not os.path.isdir(above):
        missing.append(above)
        above = os.path.dirname(above)
    for group in reversed(missing):
        try:
            os.mkdir(group)
        except FileExistsError:
            continue
        except OSError:
            _remove_shared(os.path.dirname(group))
            raise
        _opened(hierarchy, group, SHARED).close()


def _opened(hierarchy: Hierarchy, path: str, owner: str) -> Group:
    """Open and mark the group just made at `path`, or remove it again."""
    try:
        group = open_group(path)
        try:
            group.mark(owner)
            if "cpuset" in hierarchy.controllers and not hierarchy.unified:
                _fill_cpusets(hierarchy.mountpoint, path)
        except BaseException:
            group.close()
            raise
    except BaseException:
        with contextlib.suppress(OSError):  # gone, or others have theirs in it by now
            os.rmdir(path)
        raise
    return group


def _fill_cpusets(mountpoint: str, path: str) -> None:
    """Give CPUs and memory to the groups from the mount's root down to `path` that have none.

    With `path` there nobody can remove those above it, and put an empty one in its place.
    """
    for each in _chain(mountpoint, path)[1:]:
        with open_group(each) as group:
            _inherit_cpuset(each, group)


def _inherit_cpuset(path: str, group: Group) -> None:
    """On v1 a new cpuset has no CPU and no memory node, and nothing can be attached to it.

    The groups made below ours take both from it (cgroup.clone_children, cgroups.rst of v1).
    """
    with open_group(os.path.dirname(path)) as above:
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not read_at(group.descriptor, file).strip():
                write_at(group.descriptor, file, read_at(above.descriptor, file).strip())
    if group.owner() is not None and read_at(group.descriptor, "cgroup.clone_children") == "0\n":
        write_at(group.descriptor, "cgroup.clone_children", "1")


_DELEGATED = ("cgroup.procs", "tasks", "cgroup.threads", "cgroup.subtree_control")
_FREEZING = ("cgroup.freeze", "freezer.state")


def give(group: Group, uid: int, gid: int, *, freezing: bool) -> None:
    """Hand a group to a user: its folder, and the files that move processes. Raises OSError."""
    os.fchown(group.descriptor, uid, gid)
    for name in _DELEGATED + (_FREEZING if freezing else ()):
        with contextlib.suppress(FileNotFoundError):
            os.chown(name, uid, gid, dir_fd=group.descriptor)


def enable(mountpoint: str, path: str, wanted: frozenset[str]) -> OSError | None:
    """Hand the controllers `wanted` down to the groups in `path`, as far as the kernel lets us.

    v2 only: from the mount's root each group must pass a controller on. Gives the first
    refusal; EBUSY means that processes live in a group above, which v2 does not allow.
    """
    first = None
    for group_path in _chain(mountpoint, path):
        try:
            with open_group(group_path) as group:
                assert isinstance(group, UnifiedGroup)
                _enable_in(group, wanted)
        except OSError as error:
            first = first or OSError(error.errno, error.strerror, group_path)
    return first


def _enable_in(group: UnifiedGroup, wanted: frozenset[str]) -> None:
    enabled = set(read_at(group.descriptor, "cgroup.subtree_control").split())
    first = None
    for controller in sorted(wanted & group.available() - enabled):
        try:
            group.enable(controller)
        except OSError as error:
            first = first or error
    if first is not None:
        raise first


def _chain(mountpoint: str, path: str) -> list[str]:
    """The groups from the mount's root down to `path`."""
    chain = [path]
    while chain[-1] != mountpoint:
        chain.append(os.path.dirname(chain[-1]))
    return chain[::-1]
