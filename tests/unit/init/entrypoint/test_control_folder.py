"""When the folder of the control socket may be unmounted."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pyinit.init.entrypoint import control_folder

PRIVATE = b"""\
20 1 0:20 / / rw - overlay overlay rw
21 20 0:21 /a%20b /run/my\\040control rw - ext4 /dev/vda rw
"""


def test_a_mount_of_its_own_goes() -> None:
    assert control_folder._why_not("/run/my control", PRIVATE) == ""


@pytest.mark.parametrize("folder", ["/run", "/"])
def test_no_mount_of_its_own(folder: str) -> None:
    assert "own" in control_folder._why_not(folder, PRIVATE)


def test_a_shared_mount_below_would_carry_it_to_the_host() -> None:
    shared = PRIVATE.replace(b"rw - overlay", b"rw shared:3 - overlay")
    assert "shared" in control_folder._why_not("/run/my control", shared)


def test_shared_again_after_leaving_the_hosts_is_the_containers_own() -> None:
    slave = PRIVATE.replace(b"rw - overlay", b"rw shared:3 master:1 - overlay")
    assert control_folder._why_not("/run/my control", slave) == ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "control"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "c.sock"))
    return folder


def make_proc(tmp_path: Path, own: str) -> str:
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "self").symlink_to(own)
    return str(proc)


def test_a_folder_that_holds_more_stays(folder: Path, tmp_path: Path) -> None:
    (folder / "data").touch()
    assert "holds data" in control_folder.hide(str(folder / "c.sock"), make_proc(tmp_path, "1"))


def test_the_hosts_mounts_stay(folder: Path, tmp_path: Path) -> None:
    assert "PID 1" in control_folder.hide(str(folder / "c.sock"), make_proc(tmp_path, "4711"))


def test_without_proc_it_stays(folder: Path, tmp_path: Path) -> None:
    assert "No such file" in control_folder.hide(str(folder / "c.sock"), str(tmp_path))
