"""Disks of a test's own: small ones, and such as hang."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 32 << 20

# Freezes, says so, and thaws when its input ends: with the block, or with the test's process. And
# after a minute, for nothing can end a process that waits for such a disk.
FREEZE = """
fsfreeze --freeze "$1" && echo frozen && timeout --foreground 60 cat
fsfreeze --unfreeze "$1"
"""


@contextmanager
def mounted_disk(folder: Path, at: Path | None = None) -> Iterator[tuple[str, Path]]:
    """A small ext4 in a file: its device's path and where it is mounted, while it lasts.

    That is a folder of the user's own in `folder`, or `at`. Needs root and a loop device.
    """
    image, at = folder / "image", at or folder / "disk"
    image.touch()
    with image.open("r+b") as file:
        file.truncate(SIZE)
    at.mkdir(mode=0o700, exist_ok=True)
    _run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", str(image))
    device = _run("losetup", "--find", "--show", str(image)).strip()
    try:
        _run("mount", device, str(at))
        at.chmod(0o700)
        try:
            yield device, at
        finally:
            _run("umount", str(at))
    finally:
        _run("losetup", "--detach", device)


@contextmanager
def frozen(place: Path) -> Iterator[None]:
    """Whoever writes to the disk at `place` waits until the block ends (FIFREEZE)."""
    command = ["sh", "-c", FREEZE, "sh", str(place)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as guard:
        try:
            assert guard.stdout is not None
            assert guard.stdout.readline() == b"frozen\n"
            yield
        finally:
            guard.communicate(timeout=30)
    assert guard.returncode == 0


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout
