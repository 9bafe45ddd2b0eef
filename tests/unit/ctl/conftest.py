from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.toy_server import ToyServer


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of containers, also for code that runs in this process."""
    monkeypatch.setenv("PYINIT_RUN_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def server(run_dir: Path) -> Iterator[ToyServer]:
    """A container named web, as far as its control socket goes."""
    with ToyServer(run_dir / "web") as toy:
        yield toy
