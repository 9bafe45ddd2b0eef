"""Groups that a launch made and did not finish: it was killed, or it is at it right now."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def test_a_group_without_cpus_can_be_entered(host: Host, parents: list[Path]) -> None:
    """Nothing says that a launch left it so, or somebody else: it stays."""
    shared = [path / "pyinit" for path in parents]
    for path in shared:
        path.mkdir()
    host.ok("run", "--rm", "--cgroup-parent", f"/{PARENT}", "--", "true")
    host.ok("gc")
    assert all(path.is_dir() and not list(path.glob("*/")) for path in shared)


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
