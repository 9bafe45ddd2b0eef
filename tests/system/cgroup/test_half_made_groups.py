"""Groups that a launch made and did not finish: it was killed, or it is at it right now."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyinit.container import cgroup
from pyinit.container.cgroup.discovery import discover
from tests.support.containers import Host

pytestmark = pytest.mark.root

PARENT = f"pyitest-half-{os.getpid()}"


@pytest.fixture
def parents() -> Iterator[list[Path]]:
    """A group of our own in every hierarchy; in cpuset it has no CPU, as the kernel makes it."""
    found = discover()
    # A hybrid machine's cgroup2 has no controller, and is left alone where v1 has a freezer.
    used = [one for one in found if not one.unified or len(found) == 1]
    made = [Path(hierarchy.mountpoint, PARENT) for hierarchy in used]
    for path in made:
        path.mkdir()
    yield made
    for path in made:
        with contextlib.suppress(FileNotFoundError):
            (path / "pyinit").rmdir()
        path.rmdir()


def test_an_unmarked_group_is_taken_over_and_goes_with_the_last(
    host: Host, parents: list[Path]
) -> None:
    for path in parents:
        (path / "pyinit").mkdir()
    host.ok("run", "--rm", "--cgroup-parent", f"/{PARENT}", "--", "true")
    assert [path for path in parents if list(path.glob("pyinit"))] == []


def test_an_unmarked_group_is_cleared(parents: list[Path]) -> None:
    for path in parents:
        (path / "pyinit").mkdir()
    cgroup.remove_all_stale("half")
    assert [path for path in parents if list(path.glob("pyinit"))] == []


def test_somebody_elses_group_of_that_name_stays(parents: list[Path]) -> None:
    theirs = [path / "pyinit/theirs" for path in parents]
    for path in theirs:
        path.mkdir(parents=True)
    try:
        cgroup.remove_all_stale("half")
        assert all(path.is_dir() for path in theirs)
    finally:
        for path in theirs:
            path.rmdir()


MAKER = """
import contextlib, os, sys
from pyinit.container import cgroup

for turn in range(60):
    child = os.fork()
    if child == 0:
        with contextlib.ExitStack() as stack:
            made = cgroup.create(stack, f"{sys.argv[2]}-{turn}", sys.argv[1])
            pid = os.fork()
            if pid == 0:
                made.attach_init(os.getpid())
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, turn
"""


def test_makers_side_by_side_find_each_others_groups_unfinished(parents: list[Path]) -> None:
    words = [sys.executable, "-c", MAKER, f"/{PARENT}"]
    makers = [subprocess.Popen([*words, f"m{number}"]) for number in range(4)]
    assert [maker.wait(120) for maker in makers] == [0] * 4
    assert [path for path in parents if list(path.glob("pyinit"))] == []
