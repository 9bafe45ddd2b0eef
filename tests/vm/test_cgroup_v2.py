"""A container's groups in a kernel that has cgroup v2 with every controller."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyinit.container import cgroup
from pyinit.errors import SystemFault, Unsupported
from pyinit.spec.limits import IoLimit, Limits
from tests.support.cgroups import Case, CgroupCases

pytestmark = pytest.mark.vm
MOUNT = "/sys/fs/cgroup"


def remount(options: str) -> None:
    command = ["mount", "-o", f"remount,{options}", "cgroup2", MOUNT]
    subprocess.run(command, check=True)


class TestUnified(CgroupCases):
    """Mounted as systemd does: no process crosses the border of its cgroup namespace."""

    @pytest.fixture(autouse=True)
    def nsdelegate(self) -> Iterator[None]:
        remount("nsdelegate")
        yield
        remount("rw")

    def test_files_say_what_was_asked_for(self, case: Case) -> None:
        made = case.make(
            memory=64 << 20,
            memory_high=48 << 20,
            memory_reservation=16 << 20,
            cpus=0.5,
            cpu_weight=50,
            pids=32,
        )
        top = Path(made.paths[0])
        assert top == Path(MOUNT, "pyinit", case.name)
        said = {
            file: (top / file).read_text().strip()
            for file in (
                "payload/memory.max",
                "payload/memory.high",
                "payload/memory.low",
                "payload/cpu.max",
                "payload/pids.max",
                "cpu.weight",
                "init/memory.max",
                "init/pids.max",
                "memory.max",
            )
        }
        assert said == {
            "payload/memory.max": str(64 << 20),
            "payload/memory.high": str(48 << 20),
            "payload/memory.low": str(16 << 20),
            "payload/cpu.max": "50000 100000",
            "payload/pids.max": "32",
            "cpu.weight": "50",
            "init/memory.max": "max",
            "init/pids.max": "max",
            "memory.max": "max",
        }

    def test_a_device_that_is_not_there(self, case: Case) -> None:
        made = case.make(pids=10)
        limits = Limits(pids=20, io=(IoLimit("4095:1", read_bps=1 << 20),))
        with pytest.raises(SystemFault, match=r"io\.max: No such device"):
            made.apply(limits)
        assert (Path(made.paths[0]) / "payload/pids.max").read_text() == "10\n"


def test_processes_in_the_parent_forbid_limits_and_nothing_else() -> None:
    """v2 has no controllers below a group that holds processes, save at the mount's root."""
    busy = Path(MOUNT, "pyinit-test-busy")
    busy.mkdir()
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        (busy / "cgroup.procs").write_text(str(sleeper.pid))
        with contextlib.ExitStack() as stack:
            with pytest.raises(Unsupported, match=r"no cgroup controller for memory .*busy"):
                cgroup.create(stack, "one", "/pyinit-test-busy", Limits(memory=1 << 26))
            made = cgroup.create(stack, "one", "/pyinit-test-busy")
            assert made.paths == [f"{busy}/pyinit/one"]
        assert not (busy / "pyinit").exists()
    finally:
        sleeper.kill()
        sleeper.wait()
        busy.rmdir()


def test_read_only_cgroupfs_says_so() -> None:
    remount("ro")
    try:
        with contextlib.ExitStack() as stack:
            with pytest.raises(Unsupported, match="mounted read-only"):
                cgroup.create(stack, "one", limits=Limits(pids=10))
            assert cgroup.create_if_possible(stack, "one") is None
            with pytest.raises(Unsupported):
                cgroup.create_if_possible(stack, "one", limits=Limits(pids=10))
    finally:
        remount("rw")
    assert cgroup.leftovers() == {}


def as_user(work: object, uid: int = 1000) -> str:
    """What `work` gives when an ordinary user calls it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(writer, str(work()).encode())  # type: ignore[operator]
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    os.waitpid(pid, 0)
    return text


def made_as_user() -> list[str]:
    with contextlib.ExitStack() as stack:
        made = cgroup.create(stack, "mine", limits=Limits(pids=10))
        made.apply(Limits(pids=12))
        return [*made.paths, (Path(made.paths[0]) / "payload/pids.max").read_text().strip()]


def test_a_user_without_a_delegated_group_is_told_the_way_round() -> None:
    assert as_user(made_as_user).startswith(
        "Unsupported: cgroup /sys/fs/cgroup is not delegated to you: name a group"
    )


def test_a_user_makes_groups_below_what_was_delegated() -> None:
    delegated = Path(MOUNT, "pyinit-test-user")
    own = delegated / "session"
    own.mkdir(parents=True)
    (delegated / "cgroup.subtree_control").write_text("+pids")
    for group in (delegated, own):
        for file in (".", "cgroup.procs", "cgroup.subtree_control"):
            os.chown(group / file, 1000, 1000)

    def work() -> list[str]:
        return made_as_user()

    pid = os.fork()
    if pid == 0:
        (own / "cgroup.procs").write_text("0")
        os._exit(int(as_user(work) != f"['{delegated}/pyinit/mine', '12']"))
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert not (delegated / "pyinit").exists()
    finally:
        own.rmdir()
        delegated.rmdir()
