"""Ranges of ids: whose they are, and how they are leased."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyinit.container import idranges
from pyinit.container.idranges import SIZE, Span
from pyinit.errors import InUse, UsageError


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYINIT_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(idranges, "SUBUID", tmp_path / "subuid")
    monkeypatch.setattr(idranges, "SUBGID", tmp_path / "subgid")
    return tmp_path


def give(files: Path, *lines: str) -> None:
    for name in ("subuid", "subgid"):
        (files / name).write_text("\n".join(lines) + "\n")


def test_lines_are_read_and_others_passed_over(files: Path) -> None:
    give(files, "ada:100000:65536", "# no", "bad", "x:y:z", "1000:200000:5", ":1:2", "z:1:0")
    found = idranges.read_given(files / "subuid")
    assert found == [("ada", Span(100000, 65536)), ("1000", Span(200000, 5))]


def test_a_user_has_ranges_by_name_or_number(files: Path) -> None:
    give(files, "4242:100000:65536")
    assert idranges.given_to_user(4242) == (Span(100000, 65536), Span(100000, 65536))
    (files / "subgid").unlink()
    assert idranges.given_to_user(4242) is None


def test_high_ranges_that_nobody_has(files: Path) -> None:
    give(files, f"ada:{524288}:{SIZE}")
    first, second = idranges.lease("a"), idranges.lease("b")
    assert first == Span(524288 + SIZE, SIZE)
    assert second == Span(524288 + 2 * SIZE, SIZE)
    idranges.release("a")
    assert idranges.lease("c") == first
    assert sorted(idranges.leased()) == ["b", "c"]


def test_what_was_given_to_root_comes_first_and_can_run_out(files: Path) -> None:
    give(files, f"containers:2000000:{2 * SIZE + 5}")
    assert [idranges.lease(name).first for name in "ab"] == [2000000, 2000000 + SIZE]
    with pytest.raises(InUse, match="pyinit-ctl gc"):
        idranges.lease("c")


def test_a_file_that_is_not_ours_is_not_written_over(files: Path) -> None:
    idranges.lease("a")
    (files / "run/ids/leases.json").write_text("[1]")
    with pytest.raises(UsageError, match="remove it"):
        idranges.lease("b")


def test_without_a_folder_nothing_is_leased(files: Path) -> None:
    assert idranges.leased() == []
    idranges.release("nobody")
    assert not (files / "run/ids").exists()
