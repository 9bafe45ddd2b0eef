"""Reading logs from files: every line once and in order, however they are rotated meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyinit.init.log_files import LogFolder
from pyinit.spec.log_record import prefix
from pyinit_ctl.logs.backward import backward, end_of_lines
from pyinit_ctl.logs.files import ServiceLog, services


def record(number: int, *, partial: bool = False) -> bytes:
    return prefix(number, "stdout", partial=partial) + b"%d\n" % number


class Writer:
    """Writes numbered lines as init does, in files of about three lines."""

    def __init__(self, folder: Path, count: int) -> None:
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._logs = LogFolder(self._descriptor, 3 * len(record(100)), count)
        self.written = 0

    def write(self, lines: int) -> None:
        for _ in range(lines):
            self.written += 1
            assert self._logs.write("web", record(self.written)) == (b"", "")

    def close(self) -> None:
        self._logs.close()
        os.close(self._descriptor)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    found = Writer(tmp_path, 4)
    yield found
    found.close()


def numbers(lines: Iterator[object]) -> list[int]:
    return [int(line.text) for line in lines]  # type: ignore[attr-defined]


@given(st.lists(st.binary(max_size=9).map(lambda b: b.replace(b"\n", b"."))), st.integers(1, 12))
def test_lines_from_the_end(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], block: int
) -> None:
    path = tmp_path_factory.mktemp("backward") / "file"
    whole = b"".join(line + b"\n" for line in lines)
    path.write_bytes(whole + b"begun")
    with path.open("rb") as file:
        end = end_of_lines(file.fileno(), len(whole) + 5, block)
        assert end == len(whole)
        assert list(backward(file.fileno(), end, block)) == lines[::-1]


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12), st.data())
def test_a_follower_misses_nothing_or_says_so(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("follow")
    writer = Writer(folder, 4)
    writer.write(data.draw(st.integers(0, 9)))
    log = ServiceLog(str(folder), "web")
    try:
        seen = numbers(log.past())
        assert seen == list(range(1, writer.written + 1))
        for step in steps:
            writer.write(step)
            gaps, known = log.gaps, writer.written - step
            new = numbers(log.new())
            assert new == list(range(writer.written - len(new) + 1, writer.written + 1))
            assert (len(new) == step) != (log.gaps > gaps)
            assert log.gaps == gaps or step > 6, known
    finally:
        log.close()
        writer.close()


def test_the_past_across_files(tmp_path: Path, writer: Writer) -> None:
    writer.write(20)
    for last in range(14):
        found = numbers(ServiceLog(str(tmp_path), "web").past(last=last))
        assert found == list(range(21 - min(last, 11), 21)), last
    assert numbers(ServiceLog(str(tmp_path), "web").past(since=15)) == [15, 16, 17, 18, 19, 20]
    assert numbers(ServiceLog(str(tmp_path), "web").past(until=12)) == [10, 11, 12]
    found = ServiceLog(str(tmp_path), "web").past(since=11, until=16, last=3)
    assert numbers(found) == [14, 15, 16]


def test_parts_count_with_the_line_that_they_are_of(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_bytes(
        record(1) + record(2, partial=True) + record(3) + record(4, partial=True)
    )
    assert numbers(ServiceLog(str(tmp_path), "web").past(last=1)) == [2, 3, 4]


def test_a_reader_after_the_last_lines_only_gets_what_is_new(
    tmp_path: Path, writer: Writer
) -> None:
    writer.write(2)
    log = ServiceLog(str(tmp_path), "web")
    assert numbers(log.past(last=0)) == []
    writer.write(5)
    assert numbers(log.new()) == [3, 4, 5, 6, 7]
    log.close()


def test_a_log_that_comes_into_being_is_read_from_its_start(tmp_path: Path) -> None:
    log = ServiceLog(str(tmp_path), "web")
    assert numbers(log.past()) == numbers(log.new()) == []
    writer = Writer(tmp_path, 4)
    writer.write(7)
    assert numbers(log.new()) == list(range(1, 8))
    writer.close()
    log.close()


def test_between_two_renames_of_a_rotation_nothing_is_lost(tmp_path: Path, writer: Writer) -> None:
    writer.write(2)
    log = ServiceLog(str(tmp_path), "web")
    assert numbers(log.past()) == [1, 2]
    (tmp_path / "web.log").rename(tmp_path / "web.log.1")
    assert numbers(log.new()) == []
    (tmp_path / "web.log").write_bytes(record(3))
    assert numbers(log.new()) == [3]
    log.close()


def test_what_is_half_written_or_no_record_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_bytes(record(1) + b"nonsense\n" + record(2)[:-3])
    log = ServiceLog(str(tmp_path), "web")
    assert numbers(log.past()) == [1]
    path.write_bytes(record(1) + b"nonsense\n" + record(2))
    assert numbers(log.new()) == [2]
    log.close()


def test_logs_by_name(tmp_path: Path) -> None:
    for name in ("web.log", "web.log.1", "db.log.2", "init.log", "a.log.b.log", "notes", "x.log.y"):
        (tmp_path / name).touch()
    assert services(str(tmp_path)) == ["a.log.b", "db", "web"]
