"""init's own log: by a thread, so that whoever logs never waits for where it goes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator

import pytest
import structlog

from pyinit.init import journal
from pyinit.init.journal import Journal, configure

LIMIT_S = 30.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def read_lines(descriptor: int, count: int) -> list[bytes]:
    with open(os.dup(descriptor), "rb") as file:
        return [file.readline() for _ in range(count)]


def test_at_once_before_the_thread_is_there(pipe: tuple[int, int]) -> None:
    made = Journal(pipe[1])
    made.put(b"one\n")
    assert os.read(pipe[0], 100) == b"one\n"
    made.finish(LIMIT_S)


def test_in_order_to_the_last_line(pipe: tuple[int, int]) -> None:
    made = Journal(pipe[1])
    made.start()
    expected = [b"%d\n" % number for number in range(1000)]
    for line in expected:
        made.put(line)
    made.finish(LIMIT_S)
    assert read_lines(pipe[0], 1000) == expected


@pytest.mark.parametrize("full", [False, True], ids=["empty", "full"])
def test_nobody_reads(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, full: bool) -> None:
    """Whoever logs goes on; lines are dropped, and that is said as soon as somebody reads.

    Also where there is no room for saying it: the queue is full again by then.
    """
    writing, write = threading.Event(), Journal._write

    def write_and_tell(self: Journal, data: bytes) -> None:
        writing.set()
        write(self, data)

    monkeypatch.setattr(Journal, "_write", write_and_tell)
    monkeypatch.setattr(journal, "KEPT", 10)
    os.set_blocking(pipe[1], False)
    filled = 0
    while True:
        try:
            filled += os.write(pipe[1], bytes(4096))
        except BlockingIOError:
            break
    os.set_blocking(pipe[1], True)
    made = configure(pipe[1], form="json")
    made.start()
    log = structlog.get_logger("init")
    for number in range(1000):
        log.info("line", number=number)
        if full and number == 0:
            assert writing.wait(LIMIT_S)
    left = filled
    while left:
        left -= len(os.read(pipe[0], left))
    made.finish(LIMIT_S)
    os.set_blocking(pipe[0], False)
    events = [json.loads(line) for line in os.read(pipe[0], 1 << 20).splitlines()]
    lines = [event["number"] for event in events if event["event"] == "line"]
    (dropped,) = [event["count"] for event in events if event["event"] == "log lines dropped"]
    assert lines == sorted(set(lines))
    assert len(lines) + dropped == 1000
    structlog.reset_defaults()


def test_a_disk_that_is_full_costs_lines_only() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    made = Journal(descriptor)
    made.put(b"one\n")
    made.start()
    made.put(b"two\n")
    made.finish(LIMIT_S)
    os.close(descriptor)
