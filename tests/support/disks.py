"""Disks of a test's own: small ones, and such as hang."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Freezes, says so, and thaws when its input ends: with the block, or with the test's process. And
# after a minute, for nothing can end a process that waits for such a disk.
FREEZE = """
fsfreeze --freeze "$1" && echo frozen && timeout --foreground 60 cat
fsfreeze --unfreeze "$1"
"""


@contextmanager
def disk(image: Path, place: Path, size: int = 32 << 20) -> Iterator[None]:
    """An ext4 of its own, in a file, mounted at `place`. Needs root and a loop device."""
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    place.chmod(0o700)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


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
