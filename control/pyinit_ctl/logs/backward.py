"""The lines of a file from its end."""

from __future__ import annotations

import os
from collections.abc import Iterator

BLOCK = 1 << 16


def backward(descriptor: int, end: int, block: int = BLOCK) -> Iterator[bytes]:
    """The lines before `end`, the last one first, without their newlines.

    `end` is right behind a newline, or 0.
    """
    if not end:
        return
    end -= 1
    behind = b""
    while True:
        start = max(end - block, 0)
        lines = os.pread(descriptor, end - start, start).split(b"\n")
        lines[-1] += behind
        yield from reversed(lines[1:])
        behind, end = lines[0], start
        if not start:
            yield behind
            return


def end_of_lines(descriptor: int, size: int, block: int = BLOCK) -> int:
    """Where the last newline of the first `size` bytes ends; 0 where there is none."""
    while size:
        start = max(size - block, 0)
        found = os.pread(descriptor, size - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        size = start
    return 0
