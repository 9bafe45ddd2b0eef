"""Which cgroup hierarchies there are, where they are mounted, and where the caller is.

Read from /proc/self/cgroup and /proc/self/mountinfo (cgroups(7), proc(5)).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from msgspec import Struct

_USED = {
    "memory": "memory",
    "cpu": "cpu",
    "cpuacct": "cpuacct",
    "cpuset": "cpuset",
    "pids": "pids",
    "blkio": "io",
    "freezer": "freezer",
}
"""v1 controllers that pyinit uses, with the names it has for them (v2's, where v2 has one)."""


class Hierarchy(Struct, frozen=True):
    """One mounted hierarchy: `own` is the caller's group, as a path on this machine.

    `controllers` is empty on v2, where each group says for itself what it has.
    """

    unified: bool
    controllers: frozenset[str]
    mountpoint: str
    own: str


class _Mount(Struct, frozen=True):
    kind: str
    root: str
    mountpoint: str
    options: frozenset[str]


def discover() -> list[Hierarchy]:
    """The hierarchies that pyinit can use on this machine, possibly none. Raises OSError."""
    groups = Path("/proc/self/cgroup").read_text()
    return parse(groups, Path("/proc/self/mountinfo").read_text())


def parse(groups: str, mountinfo: str) -> list[Hierarchy]:
    """The usable hierarchies, from the two files' texts; v2 first.

    Left out: those not mounted here, named ones without a controller (systemd's), and
    those whose mount does not show the caller's own group (a bind mount of another).
    """
    mounts = list(_mounts(mountinfo))
    found = []
    for line in groups.splitlines():
        number, names, path = line.split(":", 2)
        unified = number == "0" and not names
        kernel_names = frozenset(names.split(",")) if names else frozenset()
        used = frozenset(_USED[name] for name in kernel_names if name in _USED)
        if not unified and not used:
            continue
        for mount in mounts:
            own = _seen_at(mount, path) if _carries(mount, unified, kernel_names) else None
            if own is not None:
                found.append(Hierarchy(unified, used, mount.mountpoint, own))
                break
    return sorted(found, key=lambda hierarchy: not hierarchy.unified)


def _carries(mount: _Mount, unified: bool, kernel_names: frozenset[str]) -> bool:
    if unified:
        return mount.kind == "cgroup2"
    return mount.kind == "cgroup" and kernel_names <= mount.options


def _seen_at(mount: _Mount, path: str) -> str | None:
    """Where the group `path` of the hierarchy is on this machine, through `mount`."""
    if ".." in PurePosixPath(path).parts:  # outside of our cgroup namespace
        return None
    try:
        below = PurePosixPath(path).relative_to(mount.root)
    except ValueError:
        return None
    return str(PurePosixPath(mount.mountpoint) / below)


def _mounts(mountinfo: str) -> Iterator[_Mount]:
    for line in mountinfo.splitlines():
        if " - cgroup" not in line:  # most are not, and there can be thousands
            continue
        head, _, tail = line.partition(" - ")
        kind, _, options = tail.split(" ", 2)
        if kind in {"cgroup", "cgroup2"}:
            root, mountpoint = (_plain(text) for text in head.split(" ")[3:5])
            yield _Mount(kind, root, mountpoint, frozenset(options.split(",")))


def _plain(text: str) -> str:
    """A path of mountinfo without its octal escapes for blanks and backslashes."""
    if "\\" not in text:
        return text
    return re.sub(r"\\([0-7]{3})", lambda matched: chr(int(matched[1], 8)), text)
