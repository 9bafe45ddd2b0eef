"""A block device of our own: a file behind a loop device, with a file system on it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 32 << 20


@contextmanager
def mounted_disk(folder: Path) -> Iterator[tuple[str, Path]]:
    """The device's path and where it is mounted, while it lasts."""
    image, at = folder / "image", folder / "disk"
    image.touch()
    with image.open("r+b") as file:
        file.truncate(SIZE)
    at.mkdir()
    _run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", str(image))
    device = _run("losetup", "--find", "--show", str(image)).strip()
    try:
        _run("mount", device, str(at))
        try:
            yield device, at
        finally:
            _run("umount", str(at))
    finally:
        _run("losetup", "--detach", device)


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout
