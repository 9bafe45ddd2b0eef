"""A container's groups on this machine: as they are mounted, and with v1 alone."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence

import pytest

from pyinit.container.cgroup import ContainerCgroup
from pyinit.container.cgroup.discovery import Hierarchy, discover
from tests.support.cgroups import Case, CgroupCases

pytestmark = pytest.mark.root


def legacy() -> list[Hierarchy]:
    return [one for one in discover() if not one.unified]


class LegacyCases(CgroupCases):
    def test_a_thread_lends_its_groups_to_its_children(self, case: Case) -> None:
        made = case.make(pids=40)
        pid = os.fork()
        if pid == 0:
            os._exit(spawn_from_thread(made))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    def test_a_kill_spares_the_process_whose_thread_is_there(self, case: Case) -> None:
        made = case.make()
        pid = os.fork()
        if pid == 0:
            os._exit(kill_around_a_thread(made))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(not legacy(), reason="needs cgroup v1 hierarchies")
class TestLegacy(LegacyCases):
    pass


def mixed() -> list[Hierarchy]:
    """cgroup2 for tracking, v1 for limits: a hybrid machine without the freezer."""
    return [one for one in discover() if "freezer" not in one.controllers]


@pytest.mark.skipif(
    not legacy() or not any(one.unified for one in mixed()), reason="needs v1 and v2 mounted"
)
class TestMixed(LegacyCases):
    @staticmethod
    def hierarchies() -> list[Hierarchy]:
        return mixed()


def in_thread(results: list[object], work: object) -> None:
    def run() -> None:
        results.append(work())  # type: ignore[operator]

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def groups_of(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def spawn_from_thread(made: ContainerCgroup) -> int:
    """0 when a thread's child is in every v1 payload group, and the main thread's is in none."""
    results: list[object] = []
    payload = made.payload()

    def work() -> str:
        payload.attach_thread()
        return groups_of(["cat", "/proc/self/cgroup"])

    in_thread(results, work)
    inside, outside = str(results[0]), groups_of(["cat", "/proc/self/cgroup"])
    expected = len({group.descriptor for group in payload.legacy()})
    placed = [line for line in inside.splitlines() if line.endswith(f"/{made.name}/payload")]
    return int(len(placed) != expected or made.name in outside)


def kill_around_a_thread(made: ContainerCgroup) -> int:
    """0 when `kill` comes back although a thread of the caller is in the group."""
    ended = threading.Event()
    attached = threading.Event()
    payload = made.payload()

    def stay() -> None:
        payload.attach_thread()
        attached.set()
        ended.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    attached.wait()
    for group in payload.legacy():
        assert os.getpid() in group.pids()
        group.kill()
    ended.set()
    thread.join()
    return 0
