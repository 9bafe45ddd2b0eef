from __future__ import annotations

import os
from pathlib import Path

import pytest
from trio.testing import MockClock

from pyinit.errors import SystemFault, UsageError
from pyinit.init.environment import parse_environment, read_environment_files
from tests.support.services import service, stage


def test_lines_of_every_form() -> None:
    text = "# no\n\nA=1\nexport B = 'two words'\n C=\"x\"\nD=\nE='open\nA=2\n"
    expected = {"A": "2", "B": "two words", "C": "x", "D": "", "E": "'open"}
    assert parse_environment(text, "f") == expected


@pytest.mark.parametrize("line", ["A", "1A=2", "=3", "A-B=1", "A=\0"])
def test_a_bad_line_is_named(line: str) -> None:
    with pytest.raises(UsageError, match=r"f:2:1: expected KEY=VALUE"):
        parse_environment(f"A=1\n{line}", "f")


def test_files_one_over_the_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("A=1\nB=1")
    (tmp_path / "b").write_bytes(b"B=\xff")
    paths = (str(tmp_path / "a"), f"-{tmp_path / 'missing'}", f"-{tmp_path / 'b'}")
    assert read_environment_files(paths) == {"A": "1", "B": "\udcff"}


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        with pytest.raises(UsageError, match="not a regular file"):
            read_environment_files((str(tmp_path / name),))
    with pytest.raises(SystemFault, match="No such file"):
        read_environment_files((str(tmp_path / "missing"),))
    (tmp_path / "big").write_bytes(b"\n" * ((1 << 20) + 1))
    with pytest.raises(UsageError, match="larger"):
        read_environment_files((str(tmp_path / "big"),))
    with pytest.raises(SystemFault, match="Not a directory"):
        read_environment_files((str(tmp_path / "big" / "x"),))


@pytest.mark.trio
async def test_the_services_own_variables_win(tmp_path: Path, autojump_clock: MockClock) -> None:
    (tmp_path / "env").write_text("A=file\nB=file")
    spec = service(env={"A": "own"}, env_files=(str(tmp_path / "env"),), user="www", umask=0o77)
    async with stage({"a": spec}) as s:
        await s.start()
        launch = s.main("a").launch
        assert launch.environment == {"A": "own", "B": "file"}
        assert (launch.spec.user, launch.spec.umask, launch.role) == ("www", 0o77, "main")
