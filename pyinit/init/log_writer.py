"""A thread that writes what blocks, and a bounded queue before it.

A disk that hangs holds up the thread alone: PID 1 goes on, and so do the services. What
finds no place in the queue is lost, counted, and told in the log once there is room again.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from pyinit.init.threads import start_thread
from pyinit.spec.log_record import prefix

# Bytes that wait for the thread, of one log and of all. A batch is taken whole.
ONE, ALL = 1 << 20, 16 << 20
# How long a command's output is left in its pipe when the queue of its log is full, in
# seconds: a disk that does half a queue in this time (1 MB/s) loses nothing, also where there
# is little CPU time to be had. One that does less costs lines, and no more than this.
PATIENCE = 0.5

# Takes a log's name and whole records; returns what could not be written, and why.
Write = Callable[[str, bytes], tuple[bytes, str]]


@dataclass(slots=True)
class Loss:
    """What a log lacks, and why."""

    lines: int = 0
    size: int = 0
    reason: str = ""

    def add(self, records: bytes, reason: str) -> None:
        self.lines += records.count(b"\n")
        self.size += len(records)
        self.reason = reason

    def merge(self, other: Loss) -> None:
        self.lines += other.lines
        self.size += other.size
        self.reason = self.reason or other.reason

    def record(self, now: int) -> bytes:
        """It, as a record of the log itself; nothing where nothing is lost."""
        if not self.lines:
            return b""
        text = f"[pyinit] {self.lines} records ({self.size} bytes) are missing: {self.reason}"
        return prefix(now, "stderr") + text.encode() + b"\n"


@dataclass(slots=True)
class _Job:
    """Records of one log on their way to the file, and what was lost `before` and `after` them.

    When it is done, `unwritten` are those that could not be written, with the `reason`; and
    the losses are those that could not be told.
    """

    service: str
    records: list[bytes] = field(default_factory=list)
    size: int = 0
    before: Loss = field(default_factory=Loss)
    after: Loss = field(default_factory=Loss)
    unwritten: bytes = b""
    reason: str = ""

    def carry_out(self, write: Write) -> None:
        """In the thread."""
        now = time.time_ns()
        records = b"".join(self.records)
        before, after = self.before.record(now), self.after.record(now)
        rest, self.reason = write(self.service, before + records + after)
        left = rest[: len(rest) - len(after)] if rest else b""
        if len(left) > len(records):
            left = records
        else:
            self.before = Loss()
        if not rest:
            self.after = Loss()
        self.unwritten = left

    def lost(self) -> Loss:
        """What the log still lacks without having been told so."""
        loss = self.before
        if self.unwritten:
            loss.add(self.unwritten, self.reason)
        loss.merge(self.after)
        return loss


class LogWriter:
    """Hands records to `write`, which may block, from a thread."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._token = trio.lowlevel.current_trio_token()
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._waiting: dict[str, _Job] = {}
        self._under_way: dict[str, _Job] = {}
        self._size = 0
        self._losses: dict[str, Loss] = {}
        self._progress = trio.Event()
        self._impatient: set[str] = set()
        self._started = False

    def start(self) -> None:
        """Make the thread, before what it is for: later there may be too many processes."""
        if not self._started:
            self._started = True
            start_thread(self._work, "logs")

    def put(self, service: str, records: bytes) -> None:
        """Take in whole records; never blocks. Drops them where too much is waiting."""
        if self._is_full(service):
            self._lose(service, records)
            return
        job = self._waiting.get(service)
        if job is None:
            job = self._waiting[service] = _Job(service)
        job.records.append(records)
        job.size += len(records)
        self._size += len(records)
        self._hand_over()

    def _is_full(self, service: str) -> bool:
        return self._waiting_of(service) >= ONE or self._size >= ALL

    def _waiting_of(self, service: str) -> int:
        jobs = (self._waiting.get(service), self._under_way.get(service))
        return sum(job.size for job in jobs if job is not None)

    def _lose(self, service: str, records: bytes) -> None:
        job = self._waiting.get(service)
        # What waits came before, and a full queue takes no more before that is on its way.
        loss = job.after if job is not None else self._losses.setdefault(service, Loss())
        loss.add(records, "written faster than the disk takes it")

    async def room(self, service: str) -> None:
        """Return when the log's queue has room, or patience is over: then there may be none."""
        if not self._is_full(service):
            self._impatient.discard(service)
            return
        if service in self._impatient:
            return
        with trio.move_on_after(PATIENCE) as scope:
            while self._waiting_of(service) > ONE // 2 or self._size >= ALL:
                await self._progress.wait()
        if scope.cancelled_caught:
            self._impatient.add(service)

    def _hand_over(self) -> None:
        if self._under_way or not self._waiting:
            return
        self._under_way, self._waiting = self._waiting, {}
        for job in self._under_way.values():
            job.before = self._losses.pop(job.service, Loss())
        self._jobs.put(list(self._under_way.values()))

    def _work(self) -> None:
        while (jobs := self._jobs.get()) is not None:
            for job in jobs:
                job.carry_out(self._write)
            try:
                self._token.run_sync_soon(self._done, jobs)
            except trio.RunFinishedError:
                return

    def _done(self, jobs: list[_Job]) -> None:
        self._under_way = {}
        for job in jobs:
            self._size -= job.size
            if (lost := job.lost()).lines:
                lost.merge(self._losses.get(job.service, Loss()))
                self._losses[job.service] = lost
        self._progress.set()
        self._progress = trio.Event()
        self._hand_over()

    async def finish(self, seconds: float) -> None:
        """Return once everything is written, or that time is over. Takes in nothing more."""
        with trio.move_on_after(seconds):
            await self._settled()
            for service in self._losses:
                self._waiting.setdefault(service, _Job(service))
            self._hand_over()
            await self._settled()
        self._jobs.put(None)

    async def _settled(self) -> None:
        while self._under_way or self._waiting:
            await self._progress.wait()
