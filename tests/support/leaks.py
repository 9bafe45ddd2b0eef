"""What a container could leave behind on its host, listed before and after a test."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from pyinit.container.cgroup.discovery import discover
from pyinit.spec.container import RESERVED_NAMES

# Kernels take things back after the last close; later than this is a leak.
SETTLE_S = 5.0


@dataclass(frozen=True)
class Snapshot:
    """State of the host that containers share; each set holds readable lines."""

    mounts: frozenset[str]
    links: frozenset[str]
    folders: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]
    terminals: frozenset[str]
    descriptors: frozenset[str]

    @classmethod
    def take(cls) -> Snapshot:
        return cls(
            frozenset(mounts()),
            frozenset(os.listdir("/sys/class/net")),
            frozenset(folders()),
            frozenset(cgroups()),
            frozenset(processes()),
            frozenset(os.listdir("/dev/pts")),
            frozenset(descriptors()),
        )

    def left_behind(self, later: Snapshot) -> list[str]:
        """What is there later and was not there before, as ``kind: what``."""
        return [
            f"{field.name}: {line}"
            for field in fields(self)
            for line in sorted(getattr(later, field.name) - getattr(self, field.name))
        ]


def mounts() -> Iterator[str]:
    # Fields by proc_pid_mountinfo(5): 3 root within the file system, 4 mount point.
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        parts, _, rest = line.partition(" - ")
        yield f"{rest.split()[0]} {parts.split()[3]} on {parts.split()[4]}"


def folders() -> Iterator[str]:
    """Of containers: what all of them share (locks, leases, compiled filters) stays."""
    for base in (Path("/run/pyinit"), Path(f"/run/user/{os.getuid()}/pyinit")):
        if base.is_dir():
            yield from (
                str(path)
                for path in base.iterdir()
                if path.is_dir() and path.name not in RESERVED_NAMES
            )


def cgroups() -> Iterator[str]:
    """Every group below one named pyinit: such a parent may stay, empty.

    On v1 only below this process's own groups, which is where it makes them: runs beside each
    other, each in groups of its own, do not see one another's.
    """
    for hierarchy in discover():
        for folder, _, _ in os.walk(hierarchy.mountpoint if hierarchy.unified else hierarchy.own):
            if "/pyinit/" in folder:
                yield folder


def processes() -> Iterator[str]:
    """Processes in a pid namespace that is not this one, as the host numbers them."""
    own = os.readlink("/proc/self/ns/pid")
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            if os.readlink(f"{entry.path}/ns/pid") != own:
                yield f"{entry.name} {Path(entry.path, 'comm').read_text().strip()}"
        except OSError:
            continue  # gone, or not ours to look at


def descriptors() -> Iterator[str]:
    """This process's own, by what they are open on."""
    for number in os.listdir("/proc/self/fd"):
        try:
            yield f"{number} {os.readlink(f'/proc/self/fd/{number}')}"
        except OSError:
            continue  # the listing's own


def assert_nothing_left(before: Snapshot) -> None:
    """Fails with what is left since ``before`` and does not go away by itself in time."""
    limit = time.monotonic() + SETTLE_S
    while left := before.left_behind(Snapshot.take()):
        if time.monotonic() > limit:
            pytest.fail("left behind:\n  " + "\n  ".join(left))
        time.sleep(0.05)


@pytest.fixture
def leaves_nothing() -> Iterator[Snapshot]:
    """Ask for it first: what the test's other fixtures clear away is then no leak."""
    before = Snapshot.take()
    yield before
    assert_nothing_left(before)
