"""Every kind of namespace: made, shared, joined by name and by path, kept after the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.containers import Host

pytestmark = pytest.mark.root

OPTIONS = {
    "pid": "--pid",
    "net": "--net",
    "ipc": "--ipc",
    "uts": "--uts",
    "cgroup": "--cgroupns",
    "user": "--userns",
    "time": "--time",
}
PRIVATE = {"net": "none", "user": "auto"}
LINKS = "cd /proc/self/ns; for kind in *; do readlink $kind; done"


def own(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{kind}")


def inside(host: Host, kind: str, *words: str) -> str:
    return host.ok("run", "--rm", *words, "--", "readlink", f"/proc/self/ns/{kind}").strip()


@pytest.mark.parametrize("kind", OPTIONS)
def test_each_kind_is_made_shared_and_joined(host: Host, kind: str) -> None:
    option = OPTIONS[kind]
    assert inside(host, kind, option, PRIVATE.get(kind, "private")) != own(kind)
    assert inside(host, kind, option, "host") == own(kind)
    name = host.run(option, PRIVATE.get(kind, "private"), "--", "sleep", "1000")
    theirs = os.readlink(f"/proc/{host.state(name)['pid']}/ns/{kind}")
    assert inside(host, kind, option, f"container:{name}") == theirs
    path = f"/proc/{host.state(name)['pid']}/ns/{kind}"
    assert inside(host, kind, option, path) == theirs


def test_private_is_a_word_for_each_kind(host: Host) -> None:
    for kind, option in OPTIONS.items():
        assert inside(host, kind, option, "private") != own(kind)
    words = ("--userns", "private", "--", "sh", "-c", "cat /proc/self/uid_map; id -u; touch /tmp/x")
    assert host.ok("run", "--rm", *words).split() == ["0", "0", "4294967295", "0"]


def test_a_user_namespace_that_is_the_hosts_is_shared(host: Host) -> None:
    name = host.run("--", "sleep", "1000")
    assert inside(host, "user", "--userns", f"container:{name}") == own("user")
    assert inside(host, "user", "--userns", "/proc/self/ns/user") == own("user")


def test_by_default_all_but_user_and_time_are_its_own(host: Host) -> None:
    listed = host.ok("run", "--rm", "--", "sh", "-c", LINKS).split()
    shared = {line.partition(":")[0] for line in listed if line == own(line.partition(":")[0])}
    assert shared == {"user", "time"}


@pytest.mark.parametrize("kind", ["net", "ipc", "uts", "user", "time", "cgroup"])
def test_a_pinned_namespace_outlives_its_container(host: Host, kind: str) -> None:
    option = OPTIONS[kind]
    name = host.run("--pin", kind, option, PRIVATE.get(kind, "private"), "--", "sleep", "1000")
    theirs = os.readlink(f"/proc/{host.state(name)['pid']}/ns/{kind}")
    host.ok("stop", name)
    (kept,) = host.json("ns", "ls", "--json")
    assert (kept["name"], kept["kind"], kept["container"]) == (name, kind, "ended")
    assert f"{kind}:[{kept['inode']}]" == theirs
    assert inside(host, kind, option, f"container:{name}") == theirs
    assert inside(host, kind, option, kept["path"]) == theirs
    host.ok("ns", "rm", name, kind)
    assert host.json("ns", "ls", "--json") == []
    refused = host.ctl("run", "--rm", option, f"container:{name}", "--", "true")
    assert refused.returncode == 125
    assert b"none pinned" in refused.stderr


def test_a_kept_network_keeps_its_address_until_it_is_released(host: Host) -> None:
    name = host.run("--pin", "net", "--net", "bridge:pyitest0", "--", "sleep", "1000")
    address = host.state(name)["network"]["ipv4"]
    host.ok("stop", name)
    shown = host.ok("run", "--rm", "--net", f"container:{name}", "--", "ip", "-4", "-o", "addr")
    assert address in shown
    assert Path("/sys/class/net/pyitest0").exists()
    host.ok("ns", "rm", name)
    assert not Path("/sys/class/net/pyitest0").exists()


def test_removing_a_container_releases_what_it_kept(leaves_nothing: object, host: Host) -> None:
    name = host.run("--pin", "net,ipc,uts", "--", "sleep", "1000")
    host.ok("stop", name)
    host.ok("rm", name)
    assert host.json("ns", "ls", "--json") == []


def test_who_shares_the_hosts_pids_ends_its_own_tree_only(host: Host) -> None:
    script = "setsid sleep 1111 & sh -c 'sleep 1112 & exit' ; exec sleep 1113"
    name = host.run("--pid", "host", "--", "sh", "-c", script)
    listed = host.json("ps", name, "--json")
    mine = [
        each["pid"] for each in listed if each["command"][-1:] in (["1111"], ["1112"], ["1113"])
    ]
    assert len(mine) == 3
    host.ok("stop", name)
    assert not [pid for pid in mine if Path(f"/proc/{pid}").exists()]
    assert Path("/proc/1/stat").exists()


def test_clocks_names_and_parameters(host: Host) -> None:
    words = ("--domainname", "example.org", "--hostname", "box", "--sysctl", "kernel.shmmax=65536")
    words += ("--sysctl", "net.ipv4.ip_unprivileged_port_start=80")
    script = (
        "hostname; cat /proc/sys/kernel/domainname /proc/sys/kernel/shmmax"
        " /proc/sys/net/ipv4/ip_unprivileged_port_start; cut -d. -f1 /proc/uptime"
    )
    offset = "boottime=5000000"
    output = host.ok("run", "--rm", *words, "--time-offset", offset, "--", "sh", "-c", script)
    *named, uptime = output.split()
    assert named == ["box", "example.org", "65536", "80"]
    assert int(uptime) >= 5_000_000
    assert Path("/proc/sys/kernel/domainname").read_text().strip() != "example.org"


def test_each_container_has_its_own_range_of_ids(host: Host, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    os.chown(tmp_path / "mine", 33, 44)
    script = "stat -c %u:%g /v/mine /etc/passwd; : > /v/made; cat /proc/self/uid_map"
    names = [
        host.run("--userns", "auto", "-v", f"{tmp_path}:/v", "--", "sleep", "1000")
        for _ in range(2)
    ]
    maps = []
    for name in names:
        mine, passwd, *ids = host.inside(name, "sh", "-c", script).split()
        assert (mine, passwd) == ("33:44", "0:0")
        made = (tmp_path / "made").stat()
        assert (made.st_uid, made.st_gid) == (0, 0)
        maps.append(tuple(map(int, ids)))
        pid = host.state(name)["pid"]
        assert os.stat(f"/proc/{pid}").st_uid != 0 or Path(f"/proc/{pid}/status").read_text().find(
            f"Uid:\t{ids[1]}\t"
        )
    assert maps[0][1] != maps[1][1]
    assert {ids[2] for ids in maps} == {65536}
