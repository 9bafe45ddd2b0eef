"""The processes that PID 1 sees, read from its own /proc by descriptor (proc(5))."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from msgspec import Struct

# Longer command lines are cut: what a process calls itself is not ours to trust.
COMMAND_LIMIT = 4096
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Stat(Struct, frozen=True):
    """What /proc/PID/stat says; times in clock ticks, `rss` in pages, start since boot."""

    pid: int
    name: str
    state: str
    ppid: int
    group: int
    session: int
    terminal_group: int
    user_ticks: int
    system_ticks: int
    threads: int
    start_ticks: int
    rss: int


class Process(Struct, frozen=True):
    """One process, as `io.pyinit.Control.ListProcesses` gives it."""

    pid: int
    ppid: int
    uid: int
    user: str
    state: str
    threads: int
    cpu: float
    memory: int
    started: float
    command: list[str]
    name: str


class ProcessTable:
    """/proc of one pid namespace, by a descriptor that was opened before any payload ran."""

    def __init__(self, proc: int | None) -> None:
        """`proc` is None in a container without a /proc, where no process is seen."""
        self._proc = proc
        self.boot_time = self._read_boot_time()

    def _read_boot_time(self) -> float:
        try:
            lines = self.read("stat").splitlines()
        except OSError:
            return 0.0
        return next((float(line.split()[1]) for line in lines if line.startswith(b"btime ")), 0.0)

    def read(self, path: str, limit: int = 1 << 20) -> bytes:
        """A file of /proc, at most `limit` bytes of it. Raises OSError."""
        if self._proc is None:
            raise FileNotFoundError(errno.ENOENT, "the container has no /proc", path)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            parts = []
            while limit > 0 and (part := os.read(descriptor, min(limit, 65536))):
                parts.append(part)
                limit -= len(part)
            return b"".join(parts)
        finally:
            os.close(descriptor)

    def pids(self) -> list[int]:
        """Every process, PID 1 included."""
        if self._proc is None:
            return []
        return sorted(int(name) for name in os.listdir(self._proc) if name.isdigit())

    def stat(self, pid: int) -> Stat | None:
        """/proc/PID/stat, or None when the process is gone."""
        try:
            text = self.read(f"{pid}/stat", 4096)
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name may hold anything, parentheses and spaces included.
        head, _, tail = text.rpartition(b")")
        name = head.partition(b"(")[2].decode(errors="replace")
        fields = tail.split()
        return Stat(
            pid=pid,
            name=name,
            state=fields[0].decode(),
            ppid=int(fields[1]),
            group=int(fields[2]),
            session=int(fields[3]),
            terminal_group=int(fields[5]),
            user_ticks=int(fields[11]),
            system_ticks=int(fields[12]),
            threads=int(fields[17]),
            start_ticks=int(fields[19]),
            rss=int(fields[21]),
        )

    def stats(self) -> Iterator[Stat]:
        """Of every process that has not gone by the time it is looked at."""
        for pid in self.pids():
            found = self.stat(pid)
            if found is not None:
                yield found

    def describe(self, name_of: Callable[[int], str]) -> list[Process]:
        """Every process; `name_of` gives a user's name, or the empty string."""
        found = (self._describe(stat, name_of) for stat in self.stats())
        return [process for process in found if process is not None]

    def _describe(self, stat: Stat, name_of: Callable[[int], str]) -> Process | None:
        try:
            command = self.read(f"{stat.pid}/cmdline", COMMAND_LIMIT)
            uid = self._uid(stat.pid)
        except (FileNotFoundError, ProcessLookupError):
            return None
        return Process(
            pid=stat.pid,
            ppid=stat.ppid,
            uid=uid,
            user=name_of(uid) or str(uid),
            state=stat.state,
            threads=stat.threads,
            cpu=(stat.user_ticks + stat.system_ticks) / _TICKS,
            memory=stat.rss * _PAGE,
            started=self.boot_time + stat.start_ticks / _TICKS,
            command=[part.decode(errors="replace") for part in command.rstrip(b"\0").split(b"\0")],
            name=stat.name,
        )

    def _uid(self, pid: int) -> int:
        for line in self.read(f"{pid}/status", 8192).splitlines():
            if line.startswith(b"Uid:"):
                return int(line.split()[2])
        raise ProcessLookupError(pid)

    def totals(self) -> tuple[float, float, int]:
        """CPU seconds in user and in kernel mode, and resident bytes, of all processes."""
        user = system = rss = 0
        for stat in self.stats():
            user += stat.user_ticks
            system += stat.system_ticks
            rss += stat.rss
        return user / _TICKS, system / _TICKS, rss * _PAGE
