"""When the folder of the control socket may be unmounted."""

from __future__ import annotations

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
    shared = PRIVATE.replace(b"rw - overlay", b"rw master:1 shared:3 - overlay")
    assert "shared" in control_folder._why_not("/run/my control", shared)


def test_without_proc_it_stays(tmp_path: Path) -> None:
    assert "No such file" in control_folder.hide(str(tmp_path / "c"), str(tmp_path / "mountinfo"))
