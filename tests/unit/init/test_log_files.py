"""Logs in files: rotated whole, nothing half-written left when the disk is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyinit.init.log_files import LogFolder

LINE = b"0123456789012345678\n"  # 20 bytes


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_files_are_of_whole_records_and_the_oldest_goes(tmp_path: Path, folder: int) -> None:
    logs = LogFolder(folder, 50, 3)
    for number in range(9):
        assert logs.write("web", b"%019d\n" % number) == (b"", "")
    logs.close()
    lines = [b"%019d\n" % number for number in range(9)]
    assert contents(tmp_path) == {
        "web.log": lines[8],
        "web.log.1": b"".join(lines[6:8]),
        "web.log.2": b"".join(lines[4:6]),
    }


def test_a_log_may_have_bounds_of_its_own(tmp_path: Path, folder: int) -> None:
    logs = LogFolder(folder, 1000, 5)
    logs.limits["web"] = (20, 2)
    for service in ("web", "db"):
        assert logs.write(service, LINE * 4) == (b"", "")
    logs.close()
    assert contents(tmp_path) == {"web.log": LINE, "web.log.1": LINE, "db.log": LINE * 4}


def test_one_batch_may_fill_several_files(tmp_path: Path, folder: int) -> None:
    logs = LogFolder(folder, 50, 2)
    assert logs.write("web", LINE * 5) == (b"", "")
    logs.close()
    assert contents(tmp_path) == {"web.log": LINE, "web.log.1": LINE * 2}


def test_of_one_file_only_a_new_one_takes_its_place(tmp_path: Path, folder: int) -> None:
    logs = LogFolder(folder, 50, 1)
    logs.write("web", LINE * 2)
    before = (tmp_path / "web.log").stat().st_ino
    with (tmp_path / "web.log").open():  # its number can't be given to another now
        logs.write("web", LINE)
        assert (tmp_path / "web.log").stat().st_ino != before
    logs.close()
    assert contents(tmp_path) == {"web.log": LINE}


def test_a_record_longer_than_a_file_has_one_of_its_own(tmp_path: Path, folder: int) -> None:
    logs = LogFolder(folder, 10, 3)
    assert logs.write("web", LINE * 2) == (b"", "")
    logs.close()
    assert contents(tmp_path) == {"web.log": LINE, "web.log.1": LINE}


def test_what_is_there_is_gone_on_with(tmp_path: Path, folder: int) -> None:
    for _ in range(2):
        logs = LogFolder(folder, 1000, 3)
        logs.write("web", LINE)
        logs.close()
    assert contents(tmp_path) == {"web.log": LINE * 2}


def test_a_file_removed_by_hand_is_made_anew_when_rotated(tmp_path: Path, folder: int) -> None:
    logs = LogFolder(folder, 50, 3)
    logs.write("web", LINE * 2)
    (tmp_path / "web.log").unlink()
    assert logs.write("web", LINE) == (b"", "")
    logs.close()
    assert contents(tmp_path) == {"web.log": LINE}


@pytest.mark.parametrize("count", [1, 3])
def test_what_can_not_be_written_comes_back(tmp_path: Path, folder: int, count: int) -> None:
    (tmp_path / "web.log").mkdir()
    logs = LogFolder(folder, 50, count)
    rest, reason = logs.write("web", LINE)
    assert rest == LINE
    assert reason == "Is a directory"


def test_no_link_is_followed(tmp_path: Path, folder: int) -> None:
    (tmp_path / "web.log").symlink_to("/dev/full")
    rest, reason = LogFolder(folder, 50, 3).write("web", LINE)
    assert rest == LINE
    assert "symbolic links" in reason


def test_half_a_record_is_cut_off_again(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = LogFolder(folder, 1000, 3)
    logs.write("web", LINE)
    write, calls = os.write, []

    def full_disk(descriptor: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:7])

    monkeypatch.setattr(os, "write", full_disk)
    assert logs.write("web", LINE * 2) == (LINE * 2, "No space left on device")
    monkeypatch.undo()
    assert contents(tmp_path) == {"web.log": LINE}
    assert logs.write("web", LINE) == (b"", "")
    logs.close()
    assert contents(tmp_path) == {"web.log": LINE * 2}
