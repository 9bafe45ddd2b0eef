"""What the container uses: cgroup files where there are any, /proc where not."""

from __future__ import annotations

import os
import time

from msgspec import Struct

from pyinit.init.processes import ProcessTable
from pyinit.linux.cgroup_stats import Usage, UsageReader
from pyinit.linux.cgroups import PayloadGroups


class Interface(Struct, frozen=True):
    """Counters of one network interface, from /proc/net/dev."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


class Stats(Struct, frozen=True):
    """As `io.pyinit.Control.Stats` gives it: seconds and bytes."""

    time: float
    uptime: float
    source: str
    cpu: float
    cpu_user: float
    cpu_system: float
    memory: int
    processes: int
    interfaces: list[Interface]
    cpu_throttled: float | None = None
    memory_peak: int | None = None
    memory_limit: int | None = None
    oom_kills: int | None = None
    processes_limit: int | None = None
    io_read: int | None = None
    io_write: int | None = None


class StatsReader:
    """Reads on descriptors that were opened before the payload ran and are kept open."""

    def __init__(self, table: ProcessTable, proc: int | None, groups: PayloadGroups | None) -> None:
        self._table = table
        self._started = time.monotonic()
        self._source = "proc"
        self._usage: UsageReader | None = None
        if groups is not None:
            self._usage = UsageReader.of(groups)
            self._source = "cgroup-v1" if groups.legacy() else "cgroup-v2"
        # Once open it goes on showing the network namespace of the one who opened it.
        self._net = _open_below(proc, "self/net/dev")

    def read(self) -> Stats:
        """The usage now: of the payload where a cgroup counts it, else of all processes.

        Processes are counted with PID 1, as a list of them would show: a cgroup counts threads.
        """
        usage = self._usage.read() if self._usage is not None else Usage()
        user, system, memory = self._totals(usage)
        cpu = _seconds(usage.cpu_us)
        return Stats(
            time=time.time(),
            uptime=time.monotonic() - self._started,
            source=self._source,
            cpu=user + system if cpu is None else cpu,
            cpu_user=user,
            cpu_system=system,
            cpu_throttled=_seconds(usage.throttled_us),
            memory=memory,
            memory_peak=usage.memory_peak,
            memory_limit=usage.memory_limit,
            oom_kills=usage.oom_kills,
            processes=len(self._table.pids()),
            processes_limit=usage.pids_limit,
            io_read=usage.read_bytes,
            io_write=usage.written_bytes,
            interfaces=self._interfaces(),
        )

    def _interfaces(self) -> list[Interface]:
        return [] if self._net is None else parse_interfaces(os.pread(self._net, 1 << 16, 0))

    def _totals(self, usage: Usage) -> tuple[float, float, int]:
        """User and system seconds, and memory in bytes; /proc is read only if it must be."""
        user, system = _seconds(usage.user_us), _seconds(usage.system_us)
        if user is not None and system is not None and usage.memory is not None:
            return user, system, usage.memory
        totals = self._table.totals()
        return (
            totals[0] if user is None else user,
            totals[1] if system is None else system,
            totals[2] if usage.memory is None else usage.memory,
        )


def _open_below(proc: int | None, path: str) -> int | None:
    """None in a container without a /proc."""
    try:
        return None if proc is None else os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    except FileNotFoundError:
        return None


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6


def parse_interfaces(text: bytes) -> list[Interface]:
    """The lines of /proc/net/dev after its two of headings (net/core/net-procfs.c)."""
    found = []
    for line in text.decode(errors="replace").splitlines()[2:]:
        name, _, rest = line.rpartition(":")
        numbers = [int(word) for word in rest.split()]
        found.append(Interface(name.strip(), *numbers[0:4], *numbers[8:12]))
    return found
