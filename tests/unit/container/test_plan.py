"""The mount plan as data."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyinit.container.plan import Surroundings, describe, device_numbers, planned_mounts
from pyinit.spec.container import ContainerSpec, HostDevice, Root, Tmpfs, Volume

FOLDER = Path("/run/pyinit/name")


def lines(spec: ContainerSpec, around: Surroundings | None = None) -> list[str]:
    return describe(planned_mounts(spec, FOLDER, around or Surroundings())).splitlines()


def test_default() -> None:
    plan = lines(ContainerSpec(name="name"))
    assert plan[:2] == [
        "mount proc at /proc (nosuid,nodev,noexec)",
        "mount sysfs at /sys (ro,nosuid,nodev,noexec)",
    ]
    assert "device 1:3 at /dev/null" in plan
    assert "link /dev/ptmx to pts/ptmx" in plan
    assert "bind /run/pyinit/name/hosts at /etc/hosts" in plan
    assert "mask /proc/kcore" in plan
    assert "read-only /proc/sys" in plan
    assert "read-only /" not in plan


def test_order_of_parents_and_what_is_below() -> None:
    plan = lines(ContainerSpec(name="name"))
    assert plan.index("link /dev/fd to /proc/self/fd") > plan.index(
        next(line for line in plan if line.startswith("mount tmpfs at /dev "))
    )
    assert next(i for i, line in enumerate(plan) if "at /dev/pts" in line) > next(
        i for i, line in enumerate(plan) if "at /dev (" in line
    )


def test_outer_volumes_come_first() -> None:
    spec = ContainerSpec(
        name="name",
        volumes=(
            Volume(source="/srv/inner", target="/data/inner", read_only=True),
            Volume(source="/srv", target="/data"),
        ),
        tmpfs=(Tmpfs(target="/data/inner/cache", size=4096, executable=False, read_only=True),),
    )
    plan = lines(spec)
    wanted = [
        "rbind /srv at /data (nosuid,nodev)",
        "rbind /srv/inner at /data/inner (ro,nosuid,nodev)",
        "mount tmpfs at /data/inner/cache (mode=1777,size=4096,ro,nosuid,nodev,noexec)",
    ]
    assert [line for line in plan if line in wanted] == wanted


def test_a_device_is_no_file_to_run() -> None:
    device = HostDevice(source="/dev/sdb", target="/dev/disk")
    plan = lines(ContainerSpec(name="name", devices=(device,)))
    assert "bind /dev/sdb at /dev/disk (nosuid,noexec)" in plan


def test_tmpfs_without_a_size() -> None:
    plan = lines(ContainerSpec(name="name", tmpfs=(Tmpfs(target="/cache"),)))
    assert "mount tmpfs at /cache (mode=1777,nosuid,nodev)" in plan


def test_a_volume_takes_the_place_of_our_own_file() -> None:
    spec = ContainerSpec(name="name", volumes=(Volume(source="/srv/hosts", target="/etc/hosts"),))
    plan = lines(spec)
    assert [line for line in plan if line.endswith("/etc/hosts (nosuid,nodev)")]
    assert "bind /run/pyinit/name/hosts at /etc/hosts" not in plan


def test_what_is_not_its_own_is_the_hosts() -> None:
    around = Surroundings(own_network=False, own_pids=False, own_ipc=False, tty_group=False)
    plan = lines(ContainerSpec(name="name"), around)
    assert "rbind /sys at /sys (ro,nosuid,nodev,noexec)" in plan
    assert "rbind /proc at /proc (nosuid,nodev,noexec)" in plan
    assert not [line for line in plan if "/dev/mqueue" in line]
    terminals = next(line for line in plan if line.startswith("mount devpts"))
    assert "gid=5" not in terminals


def test_privileged_hides_nothing_and_read_only_comes_last() -> None:
    spec = ContainerSpec(name="name", privileged=True, root=Root(read_only=True))
    plan = lines(spec)
    assert not [line for line in plan if line.startswith("mask")]
    assert plan[-1] == "read-only /"


def test_device_numbers() -> None:
    assert device_numbers("tty") == (5, 0)
    with pytest.raises(KeyError):
        device_numbers("sda")
