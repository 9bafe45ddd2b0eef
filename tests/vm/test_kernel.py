"""The test kernel has what the other tests in this folder build on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import probe, roots

pytestmark = pytest.mark.vm

AF_BRIDGE = 7


def test_cgroup2_has_its_controllers() -> None:
    assert {"cpu", "io", "memory", "pids"} <= probe.cgroup2_controllers()


def test_cgroup2_controllers_reach_a_new_group() -> None:
    group = Path("/sys/fs/cgroup/probe")
    group.mkdir()
    try:
        for name in ("cpu.max", "io.stat", "memory.max", "pids.max", "cgroup.freeze"):
            assert (group / name).exists(), name
    finally:
        group.rmdir()


def test_overlay_over_the_host_root(tmp_path: Path) -> None:
    for name in ("upper", "work", "merged"):
        (tmp_path / name).mkdir()
    options = f"lowerdir=/,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    merged = tmp_path / "merged"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", merged], check=True)
    try:
        (merged / "etc" / "made").touch()
        assert (tmp_path / "upper" / "etc" / "made").exists()
        assert not Path("/etc/made").exists()
    finally:
        subprocess.run(["umount", merged], check=True)


def test_veth_and_bridge() -> None:
    for command in (
        "ip link add probe0 type bridge",
        "ip link add probe1 type veth peer name probe2",
        "ip link set probe1 master probe0",
        "ip link del probe1",
        "ip link del probe0",
    ):
        subprocess.run(command.split(), check=True)


def test_nftables_answers() -> None:
    """Only for bridges: Debian builds this kernel without nftables' IPv4 and IPv6, so NAT is
    tested in network namespaces of the machine's own kernel."""
    from pyroute2.nftables.main import NFTables

    with NFTables(nfgen_family=AF_BRIDGE) as nft:
        nft.table("add", name="probe")
        assert [table.get("name") for table in nft.get_tables()] == ["probe"]
        nft.table("del", name="probe")


def test_lo_is_up() -> None:
    assert "LOOPBACK,UP" in subprocess.check_output(["ip", "link", "show", "lo"], text=True)


def test_the_host_cannot_be_written() -> None:
    command = ["findmnt", "--noheadings", "--output", "FSTYPE,OPTIONS", "--target", __file__]
    kind, options = subprocess.check_output(command, text=True).split()
    assert kind == "overlay" or "ro" in options.split(",")


@pytest.mark.vm(roots=("busybox",))
def test_roots_are_there() -> None:
    assert (roots.busybox_root() / "bin" / "sh").exists()
