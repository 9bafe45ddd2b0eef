"""openat2: what a hostile root can't do with a path."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyinit.linux import files


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a small root, beside which lies a file called secret."""
    (tmp_path / "secret").write_text("of the host")
    inside = tmp_path / "root"
    (inside / "etc").mkdir(parents=True)
    (inside / "etc" / "passwd").write_text("inside")
    (inside / "absolute").symlink_to("/etc/passwd")
    (inside / "up").symlink_to("../../../secret")
    (inside / "loop").symlink_to("loop")
    descriptor = os.open(inside, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def content(descriptor: int) -> str:
    with os.fdopen(descriptor) as opened:
        return opened.read()


@pytest.mark.parametrize("path", ["etc/passwd", "/etc/passwd", "absolute", "../../etc/passwd"])
def test_paths_stay_inside(root: int, path: str) -> None:
    assert content(files.open_in_root(root, path, os.O_RDONLY)) == "inside"


def test_no_way_up(root: int) -> None:
    with pytest.raises(FileNotFoundError):
        files.open_in_root(root, "up", os.O_RDONLY)


def test_a_loop_of_symlinks_ends(root: int) -> None:
    with pytest.raises(OSError, match="loop") as raised:
        files.open_in_root(root, "loop", os.O_RDONLY)
    assert raised.value.errno == errno.ELOOP


def test_magic_links_are_refused() -> None:
    top = os.open("/", os.O_PATH)
    try:
        with pytest.raises(OSError, match="root") as raised:
            files.open_in_root(top, "/proc/self/root/etc", os.O_RDONLY)
    finally:
        os.close(top)
    assert raised.value.errno == errno.ELOOP


def test_descriptors_are_close_on_exec(root: int) -> None:
    descriptor = files.open_in_root(root, "etc/passwd", os.O_RDONLY)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_mode_counts_when_a_file_is_made(root: int) -> None:
    made = files.open_in_root(root, "etc/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    assert os.fstat(made).st_mode & 0o777 == 0o600
    os.close(made)
    os.close(files.open_in_root(root, "etc/new", os.O_RDONLY, mode=0o600))


def test_a_nul_byte_is_not_the_end_of_a_path(root: int) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        files.open_in_root(root, "etc/passwd\0.txt", os.O_RDONLY)


def test_beneath_refuses_to_go_out(root: int) -> None:
    with pytest.raises(OSError, match="absolute") as raised:
        files.openat2(root, "absolute", os.O_RDONLY, resolve=files.RESOLVE_BENEATH)
    assert raised.value.errno == errno.EXDEV
