"""What a group has used: read from descriptors that stay open, so that it costs microseconds.

Units: CPU time in microseconds, memory and io in bytes. None where the kernel does not
say, for want of a controller or file, and for a limit that is not set.
Sources: cgroup-v2.rst; cgroup-v1/memory.rst, cpuacct.rst, blkio-controller.rst, sched-bwc.rst.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .cgroups import Group, PayloadGroups

_TICKS = os.sysconf("SC_CLK_TCK")
# v1 says "no limit" by the largest multiple of a page that a long holds.
_NO_LIMIT = 1 << 62


@dataclass(slots=True)
class Usage:
    """One reading. `memory` is what counts against the limit, file cache included."""

    cpu_us: int | None = None
    user_us: int | None = None
    system_us: int | None = None
    periods: int | None = None
    throttled: int | None = None
    throttled_us: int | None = None
    memory: int | None = None
    memory_peak: int | None = None
    memory_limit: int | None = None
    memory_anonymous: int | None = None
    memory_file: int | None = None
    swap: int | None = None
    oom_kills: int | None = None
    pids: int | None = None
    pids_limit: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None


Parser = Callable[[bytes, Usage], None]


class UsageReader:
    """Reads a payload's or a leaf's usage again and again; keeps one descriptor per file."""

    def __init__(self, groups: Mapping[str, Group], *, unified: bool) -> None:
        self._files: list[tuple[int, Parser]] = []
        table = _UNIFIED if unified else _LEGACY
        for controller, file, parser in table:
            if (group := groups.get(controller)) is not None:
                self._open(group, file, parser)

    @classmethod
    def of(cls, payload: PayloadGroups) -> UsageReader:
        """For all of a payload."""
        counted: dict[str, Group] = dict(payload.controllers)
        unified = not payload.legacy()
        if unified:  # cpu.stat's times are there without the controller
            counted.setdefault("cpu", payload.tracking)
        return cls(counted, unified=unified)

    @classmethod
    def of_leaf(cls, leaf: Group) -> UsageReader:
        """For one cgroup2 leaf: CPU time, and more where controllers reach it."""
        return cls(dict.fromkeys(("cpu", "memory", "pids", "io"), leaf), unified=True)

    def _open(self, group: Group, file: str, parser: Parser) -> None:
        try:
            opened = os.open(file, os.O_RDONLY | os.O_CLOEXEC, dir_fd=group.descriptor)
        except FileNotFoundError:
            return
        self._files.append((opened, parser))

    def read(self) -> Usage:
        """The usage now. Raises OSError: ENODEV once the group is removed."""
        usage = Usage()
        for descriptor, parser in self._files:
            parser(os.pread(descriptor, 16384, 0), usage)
        return usage

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def flat(text: bytes) -> dict[bytes, int]:
    """The kernel's flat keyed format: "KEY NUMBER" on each line."""
    words = text.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def number(text: bytes) -> int | None:
    """One number; None for "max" and for v1's way to say so."""
    stripped = text.strip()
    if stripped == b"max":
        return None
    value = int(stripped)
    return None if value >= _NO_LIMIT else value


def _keys(**fields: str) -> Parser:
    """A parser of flat keyed text: usage field → kernel's key."""
    pairs = [(field, key.encode()) for field, key in fields.items()]

    def parse(text: bytes, usage: Usage) -> None:
        found = flat(text)
        for field, key in pairs:
            setattr(usage, field, found.get(key))

    return parse


def _one(field: str, divisor: int = 1) -> Parser:
    """A parser of a file that holds one number."""

    def parse(text: bytes, usage: Usage) -> None:
        value = number(text)
        setattr(usage, field, value if value is None else value // divisor)

    return parse


def _throttling(text: bytes, usage: Usage) -> None:
    found = flat(text)
    usage.periods = found.get(b"nr_periods")
    usage.throttled = found.get(b"nr_throttled")
    usage.throttled_us = found.get(b"throttled_time", 0) // 1000


def _ticks(text: bytes, usage: Usage) -> None:
    found = flat(text)
    usage.user_us = found[b"user"] * 1_000_000 // _TICKS
    usage.system_us = found[b"system"] * 1_000_000 // _TICKS


def _io_stat(text: bytes, usage: Usage) -> None:
    """Lines "MAJOR:MINOR rbytes=N wbytes=N rios=N …", one per device, summed."""
    usage.read_bytes = usage.written_bytes = 0
    for word in text.split():
        if word.startswith(b"rbytes="):
            usage.read_bytes += int(word[7:])
        elif word.startswith(b"wbytes="):
            usage.written_bytes += int(word[7:])


def _blkio(text: bytes, usage: Usage) -> None:
    """Lines "MAJOR:MINOR Read N", "… Write N" and others, summed over devices."""
    usage.read_bytes = usage.written_bytes = 0
    for line in text.splitlines():
        words = line.split()
        if words[1:2] == [b"Read"]:
            usage.read_bytes += int(words[2])
        elif words[1:2] == [b"Write"]:
            usage.written_bytes += int(words[2])


_UNIFIED: tuple[tuple[str, str, Parser], ...] = (
    (
        "cpu",
        "cpu.stat",
        _keys(
            cpu_us="usage_usec",
            user_us="user_usec",
            system_us="system_usec",
            periods="nr_periods",
            throttled="nr_throttled",
            throttled_us="throttled_usec",
        ),
    ),
    ("memory", "memory.current", _one("memory")),
    ("memory", "memory.peak", _one("memory_peak")),
    ("memory", "memory.max", _one("memory_limit")),
    ("memory", "memory.stat", _keys(memory_anonymous="anon", memory_file="file")),
    ("memory", "memory.swap.current", _one("swap")),
    ("memory", "memory.events", _keys(oom_kills="oom_kill")),
    ("pids", "pids.current", _one("pids")),
    ("pids", "pids.max", _one("pids_limit")),
    ("io", "io.stat", _io_stat),
)

_LEGACY: tuple[tuple[str, str, Parser], ...] = (
    ("cpuacct", "cpuacct.usage", _one("cpu_us", 1000)),
    ("cpuacct", "cpuacct.stat", _ticks),
    ("cpu", "cpu.stat", _throttling),
    ("memory", "memory.usage_in_bytes", _one("memory")),
    ("memory", "memory.max_usage_in_bytes", _one("memory_peak")),
    ("memory", "memory.limit_in_bytes", _one("memory_limit")),
    (
        "memory",
        "memory.stat",
        _keys(memory_anonymous="total_rss", memory_file="total_cache", swap="total_swap"),
    ),
    ("memory", "memory.oom_control", _keys(oom_kills="oom_kill")),
    ("pids", "pids.current", _one("pids")),
    ("pids", "pids.max", _one("pids_limit")),
    ("io", "blkio.throttle.io_service_bytes_recursive", _blkio),
)
