"""Where a container's groups go in each hierarchy: paths only, nothing is made here."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from pyinit.errors import UsageError

from .discovery import Hierarchy

FOLDER = "pyinit"
"""The group between the place given and the containers; removed when the last one goes."""


def container(base: str, name: str) -> str:
    """The path of the container's own group below `base`. Raises UsageError for a bad name."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise UsageError(f"{name!r} is no name for a container's cgroup: no slash, not empty")
    return f"{base}/{FOLDER}/{name}"


def base(hierarchy: Hierarchy, parent: str | None, *, superuser: bool) -> str:
    """The existing group below which `pyinit/<name>` is made.

    v1: the caller's own, or `parent`. v2: the mount's root for the superuser; for a user the
    highest group that was delegated to him, which is what the kernel lets him move
    processes within. Raises UsageError for a `parent` that can't be a group's path.
    """
    if parent is not None:
        return _below(hierarchy.mountpoint, parent)
    if not hierarchy.unified:
        return hierarchy.own
    if superuser:
        return hierarchy.mountpoint
    return _delegated(hierarchy)


def _below(mountpoint: str, parent: str) -> str:
    path = PurePosixPath("/" + parent.lstrip("/"))
    if not parent.strip("/") or ".." in path.parts or "\0" in parent:
        raise UsageError(f"--cgroup-parent {parent!r}: give a group's path, such as /machine")
    return str(PurePosixPath(mountpoint) / path.relative_to("/"))


def _delegated(hierarchy: Hierarchy) -> str:
    """The highest group, from the caller's own upward, that the caller may manage."""
    highest = own = PurePosixPath(hierarchy.own)
    for group in (own, *own.parents):
        if group.is_relative_to(hierarchy.mountpoint) and _manageable(str(group)):
            highest = group
        else:
            break
    return str(highest)


def _manageable(group: str) -> bool:
    files = ("", "cgroup.procs", "cgroup.subtree_control")
    return all(os.access(os.path.join(group, file), os.W_OK) for file in files)
