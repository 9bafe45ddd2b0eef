"""What the container uses: cgroup files where there are any, /proc where not."""

from __future__ import annotations

import os
import time

from msgspec import Struct

from pyinit.init.processes import ProcessTable
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

    def __init__(self, table: ProcessTable, proc: int, groups: PayloadGroups | None) -> None:
        self._table = table
        self._groups = groups
        self._started = time.monotonic()
        # "1", not "self": it is this process's network namespace either way, and the
        # file keeps showing it.
        self._net = os.open("self/net/dev", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)

    def read(self) -> Stats:
        """The usage now."""
        user, system, memory, processes = self._table.totals()
        return Stats(
            time=time.time(),
            uptime=time.monotonic() - self._started,
            source="proc",
            cpu=user + system,
            cpu_user=user,
            cpu_system=system,
            memory=memory,
            processes=processes,
            interfaces=parse_interfaces(os.pread(self._net, 1 << 16, 0)),
        )


def parse_interfaces(text: bytes) -> list[Interface]:
    """The lines of /proc/net/dev after its two of headings (net/core/net-procfs.c)."""
    found = []
    for line in text.decode(errors="replace").splitlines()[2:]:
        name, _, rest = line.rpartition(":")
        numbers = [int(word) for word in rest.split()]
        found.append(Interface(name.strip(), *numbers[0:4], *numbers[8:12]))
    return found
