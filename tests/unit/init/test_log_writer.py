"""The queue before the disk: nothing waits for it, and what is lost is told."""

from __future__ import annotations

import queue
import threading

import pytest
import trio
import trio.testing

from pyinit.init import log_writer
from pyinit.init.log_writer import LogWriter
from pyinit.spec.log_record import parse

LINE = b"2026-11-22T17:00:00.000000000Z stdout F text\n"


class Disk:
    """Takes records when it is let, and as it is told to."""

    def __init__(self) -> None:
        self.written: dict[str, bytes] = {}
        self.full = ""
        self.begun: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._works = threading.Event()
        self._works.set()

    def hang(self) -> None:
        self._works.clear()

    def go_on(self) -> None:
        self._works.set()

    def write(self, service: str, records: bytes) -> tuple[bytes, str]:
        self.begun.put(None)
        self._works.wait(10)
        if self.full:
            return records, self.full
        self.written[service] = self.written.get(service, b"") + records
        return b"", ""

    def lines(self, service: str) -> list[bytes]:
        return self.written.get(service, b"").splitlines(keepends=True)


@pytest.fixture
def disk() -> Disk:
    return Disk()


async def begun(disk: Disk) -> None:
    await trio.to_thread.run_sync(lambda: disk.begun.get(timeout=10))


def started(disk: Disk) -> LogWriter:
    writer = LogWriter(disk.write)
    writer.start()
    writer.start()
    return writer


@pytest.mark.trio
async def test_records_are_written_in_order(disk: Disk) -> None:
    writer = started(disk)
    lines = [b"%d\n" % number for number in range(100)]
    for line in lines:
        writer.put("web", line)
        writer.put("db", line)
        await trio.lowlevel.checkpoint()
    await writer.finish(10)
    assert disk.lines("web") == disk.lines("db") == lines


@pytest.mark.trio
async def test_a_disk_that_hangs_costs_lines_and_says_how_many(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "ONE", 3 * len(LINE))
    writer = started(disk)
    disk.hang()
    writer.put("web", LINE)
    await begun(disk)
    for _ in range(9):
        writer.put("web", LINE)
    writer.put("db", LINE)
    disk.go_on()
    await writer.finish(10)
    *kept, notice = disk.lines("web")
    assert kept == [LINE] * 3
    record = parse(notice.strip())
    assert record is not None
    assert record.stream == "stderr"
    assert record.text.startswith(b"[pyinit] 7 records (%d bytes) are missing" % (7 * len(LINE)))
    assert disk.lines("db") == [LINE]


@pytest.mark.trio
async def test_a_bound_for_all_logs_together(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "ALL", 2 * len(LINE))
    writer = started(disk)
    disk.hang()
    for service in "abcd":
        writer.put(service, LINE)
    disk.go_on()
    await writer.finish(10)
    assert disk.written["a"] == disk.written["b"] == LINE
    assert b"1 records" in disk.written["c"]
    assert b"1 records" in disk.written["d"]


@pytest.mark.trio
async def test_a_full_disk_is_told_of_once_there_is_room(disk: Disk) -> None:
    writer = started(disk)
    disk.full = "No space left on device"
    for _ in range(3):
        writer.put("web", LINE * 2)
        await begun(disk)
        await settled(writer)
    disk.full = ""
    writer.put("web", LINE)
    await writer.finish(10)
    notice, line = disk.lines("web")
    assert b"6 records (%d bytes) are missing: No space left" % (6 * len(LINE)) in notice
    assert line == LINE


async def settled(writer: LogWriter) -> None:
    with trio.fail_after(10):
        await writer._settled()


@pytest.mark.trio
async def test_a_disk_that_stays_full_does_not_hold_up_the_end(disk: Disk) -> None:
    writer = started(disk)
    disk.full = "No space left on device"
    writer.put("web", LINE)
    with trio.fail_after(10):
        await writer.finish(9)
    assert not disk.written


@pytest.mark.trio
async def test_what_was_written_in_part_is_not_told_twice() -> None:
    written: list[bytes] = []

    def write(_service: str, records: bytes) -> tuple[bytes, str]:
        if not written:
            written.append(records)
            return LINE, "No space left on device"
        written.append(records)
        return b"", ""

    writer = LogWriter(write)
    writer.start()
    writer.put("web", LINE * 3)
    await settled(writer)
    writer.put("web", LINE)
    await writer.finish(10)
    assert b" 1 records" in written[1]
    assert written[1].endswith(b"\n" + LINE)


@pytest.mark.trio
async def test_patience_is_bounded_and_not_spent_twice(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(log_writer, "ONE", len(LINE))
    writer = started(disk)
    await writer.room("web")
    assert trio.current_time() == 0
    disk.hang()
    writer.put("web", LINE)
    await writer.room("web")
    assert trio.current_time() == pytest.approx(log_writer.PATIENCE)
    await writer.room("web")
    assert trio.current_time() == pytest.approx(log_writer.PATIENCE)
    disk.go_on()
    await writer.finish(0)


@pytest.mark.trio
async def test_room_is_there_as_soon_as_something_was_written(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "ONE", len(LINE))
    monkeypatch.setattr(log_writer, "PATIENCE", 10)
    writer = started(disk)
    disk.hang()
    writer.put("web", LINE)
    await begun(disk)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.room, "web")
        await trio.testing.wait_all_tasks_blocked()
        disk.go_on()
    writer.put("web", LINE)
    await writer.finish(10)
    assert disk.lines("web") == [LINE, LINE]


def test_the_thread_outlives_the_loop_quietly(disk: Disk) -> None:
    async def leave_at_once() -> None:
        writer = started(disk)
        disk.hang()
        writer.put("web", LINE)
        await begun(disk)

    trio.run(leave_at_once)
    disk.go_on()
    for thread in threading.enumerate():
        if thread.name == "logs":
            thread.join(10)
            assert not thread.is_alive()
