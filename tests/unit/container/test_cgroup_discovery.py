"""Reading where the caller's cgroups are, and where a container's go."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from pyinit.container import cgroup
from pyinit.container.cgroup import layout
from pyinit.container.cgroup.discovery import Hierarchy, parse
from pyinit.errors import Unsupported, UsageError

UNIFIED = "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_unified() -> None:
    found = parse("0::/user.slice/x.scope\n", UNIFIED)
    own = "/sys/fs/cgroup/user.slice/x.scope"
    assert found == [Hierarchy(True, frozenset(), "/sys/fs/cgroup", own)]


def test_hybrid_with_controllers_mounted_together() -> None:
    groups = "9:name=systemd:/a\n4:memory:/b/c\n3:cpuset:/\n2:cpu,cpuacct:/\n0::/\n"
    top = "/sys/fs/cgroup"
    assert parse(groups, HYBRID) == [
        Hierarchy(True, frozenset(), f"{top}/unified", f"{top}/unified"),
        Hierarchy(False, frozenset({"memory"}), f"{top}/memory", f"{top}/memory/b/c"),
        Hierarchy(
            False,
            frozenset({"cpu", "cpuacct"}),
            f"{top}/cpu,cpuacct",
            f"{top}/cpu,cpuacct",
        ),
    ]


def test_a_mount_of_part_of_a_hierarchy() -> None:
    mount = r"35 24 0:30 /docker/abc /sys/fs/my\040cgroup rw - cgroup2 cgroup2 rw" + "\n"
    (found,) = parse("0::/docker/abc/inner\n", mount)
    assert found.own == "/sys/fs/my cgroup/inner"
    assert parse("0::/docker/abcd\n", mount) == []
    assert parse("0::/\n", mount) == []


def test_a_group_outside_of_the_cgroup_namespace_is_of_no_use() -> None:
    assert parse("0::/../other\n", UNIFIED) == []


def test_a_path_with_colons() -> None:
    (found,) = parse("0::/a:b:c\n", UNIFIED)
    assert found.own == "/sys/fs/cgroup/a:b:c"


def test_nothing_mounted() -> None:
    assert parse("0::/\n", "") == []
    expected = pytest.raises(Unsupported, match="no cgroup hierarchy is mounted")
    with contextlib.ExitStack() as stack, expected:
        cgroup.create(stack, "x", hierarchies=[])


V1 = Hierarchy(False, frozenset({"memory"}), "/m", "/m/own")
V2 = Hierarchy(True, frozenset(), "/u", "/u/own")


def test_where_a_container_goes() -> None:
    assert layout.base(V1, None, superuser=True) == "/m/own"
    assert layout.base(V2, None, superuser=True) == "/u"
    assert layout.base(V2, "/machine", superuser=True) == "/u/machine"
    assert layout.base(V1, "machine/a/", superuser=False) == "/m/machine/a"
    assert layout.container("/m/own", "web") == "/m/own/pyinit/web"


@pytest.mark.parametrize("parent", ["", "/", "..", "/a/../../b", "a\0b"])
def test_bad_parents(parent: str) -> None:
    with pytest.raises(UsageError, match="--cgroup-parent"):
        layout.base(V2, parent, superuser=True)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0"])
def test_bad_names(name: str) -> None:
    with pytest.raises(UsageError, match="no name"):
        layout.container("/m", name)


def test_the_highest_group_that_is_delegated(tmp_path: Path) -> None:
    own = tmp_path / "user" / "app" / "scope"
    own.mkdir(parents=True)
    for group in (own, own.parent):
        for file in ("cgroup.procs", "cgroup.subtree_control"):
            (group / file).touch()
    hierarchy = Hierarchy(True, frozenset(), str(tmp_path), str(own))
    assert layout.base(hierarchy, None, superuser=False) == str(own.parent)


def test_only_groups_with_the_mark_are_removed(tmp_path: Path) -> None:
    group = tmp_path / "pyinit" / "web"
    group.mkdir(parents=True)
    with pytest.raises(UsageError, match="not made by pyinit for web: left alone"):
        cgroup.remove("web", [str(group)])
    with pytest.raises(UsageError, match="left alone"):
        cgroup.remove("web", [str(tmp_path)])
    with pytest.raises(UsageError, match="left alone"):
        cgroup.remove("web", ["/"])
    cgroup.remove("gone", [str(tmp_path / "pyinit" / "gone")])
    assert os.path.isdir(group)
