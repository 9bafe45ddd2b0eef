"""The tests' own helpers: a leak that they overlook, or a root that holds too much, would let
everything else pass for the wrong reason."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import leaks, probe, roots


def test_an_open_descriptor_is_found() -> None:
    before = leaks.Snapshot.take()
    reader, writer = os.pipe()
    left = before.left_behind(leaks.Snapshot.take())
    os.close(reader)
    os.close(writer)
    assert [line.split()[0] for line in left] == ["descriptors:", "descriptors:"]
    leaks.assert_nothing_left(before)


@pytest.mark.root
def test_a_mount_is_found(tmp_path: Path) -> None:
    before = leaks.Snapshot.take()
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
    left = before.left_behind(leaks.Snapshot.take())
    subprocess.run(["umount", tmp_path], check=True)
    assert left == [f"mounts: tmpfs / on {tmp_path}"]
    leaks.assert_nothing_left(before)


@pytest.mark.root
def test_a_process_in_another_pid_namespace_is_found() -> None:
    before = leaks.Snapshot.take()
    command = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "echo up; read x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"up\n"
        left = before.left_behind(leaks.Snapshot.take())
        child.communicate(b"\n")
    assert [line for line in left if line.startswith("processes:") and line.endswith(" sh")]
    leaks.assert_nothing_left(before)


@pytest.mark.package("busybox-static")
def test_busybox_root_holds_busybox_and_nothing_else() -> None:
    root = roots.busybox_root()
    programs = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    wanted = {"busybox", "passwd", "group", *roots.MOUNTED_OVER}
    assert {path.name for path in programs} == wanted
    assert os.readlink(root / "bin" / "sh") == "busybox"


@pytest.mark.package("busybox-static")
def test_a_copy_may_be_changed(tmp_path: Path) -> None:
    mine = roots.copy(roots.busybox_root(), tmp_path / "root")
    (mine / "etc" / "passwd").unlink()
    assert (roots.busybox_root() / "etc" / "passwd").exists()


@pytest.mark.root
@pytest.mark.package("mmdebstrap")
@pytest.mark.slow
def test_debian_root_has_the_services_and_no_python() -> None:
    root = roots.debian_root()
    assert (root / "usr/sbin/apache2").exists()
    assert list(root.glob("usr/lib/postgresql/*/bin/postgres"))
    assert list(root.glob("var/lib/postgresql/*/main/PG_VERSION"))
    assert not (root / "usr/bin/python3").exists()


def test_half_made_roots_are_never_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYINIT_TEST_CACHE", str(tmp_path))

    def breaks(root: Path) -> None:
        (root / "half").touch()
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        roots.built("x", "recipe", breaks)
    whole = roots.built("x", "recipe", lambda root: (root / "whole").touch())
    assert os.listdir(whole) == ["whole"]
    assert roots.built("x", "recipe", breaks) == whole


def test_controllers_are_known_on_some_version() -> None:
    assert probe.cgroup2_controllers() or probe.cgroup1_controllers()
