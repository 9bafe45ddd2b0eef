"""The oom score of a container: written where it differs, and clear where it can't be had."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pyinit.container import oom
from pyinit.errors import SystemFault, Unsupported


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "oom_score_adj"
    path.write_text("200\n")
    monkeypatch.setattr(oom, "_FILE", path)
    return path


def refuse(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def write_text(self: Path, text: str) -> int:
        raise error

    monkeypatch.setattr(Path, "write_text", write_text)


def test_what_the_maker_has_is_not_inherited(file: Path) -> None:
    oom.set_oom_score_adj(0)
    assert file.read_text() == "0"


def test_an_ordinary_user_keeps_what_the_session_has(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, PermissionError(errno.EACCES, "Permission denied"))
    oom.set_oom_score_adj(0)
    oom.set_oom_score_adj(200)
    with pytest.raises(Unsupported, match="oom-score-adj -5"):
        oom.set_oom_score_adj(-5)


def test_other_failures_are_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(SystemFault, match="set oom_score_adj to 7"):
        oom.set_oom_score_adj(7)
