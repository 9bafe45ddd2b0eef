"""How far the outputs of a command are read: what is still to come when it has ended.

A process that the command left behind may hold its outputs open, and write on. What was in
them at the command's end is waited for however long the machine takes; for anything else a
reader sets itself a limit.
"""

from __future__ import annotations

import fcntl
import math
import select
import struct
import termios
from collections.abc import Mapping

import trio


class Progress:
    """Of each output that has not ended, by its descriptor, how many bytes were read."""

    def __init__(self) -> None:
        self._read: dict[int, int] = {}
        self._change = trio.Event()
        self.total = 0

    def __bool__(self) -> bool:
        """Whether an output is still open."""
        return bool(self._read)

    def __contains__(self, descriptor: int) -> bool:
        """Whether this output is."""
        return descriptor in self._read

    def begin(self, descriptor: int) -> None:
        self._read[descriptor] = 0

    def advance(self, descriptor: int, size: int) -> None:
        self._read[descriptor] += size
        self.total += size
        self._changed()

    def end(self, descriptor: int) -> None:
        """The output has ended. Its descriptor is still open, so its number means no other."""
        del self._read[descriptor]
        self._changed()

    def due(self) -> dict[int, float]:
        """How many bytes will have been read of each once what is in it now is.

        Infinite for one that nobody has open to write any more: it will end.
        """
        return {
            each: math.inf if _is_hung_up(each) else read + _unread(each)
            for each, read in self._read.items()
        }

    def is_behind(self, due: Mapping[int, float]) -> bool:
        return any(read < due.get(each, 0) for each, read in self._read.items())

    async def changed(self) -> None:
        """Return at the next `advance` or `end`."""
        await self._change.wait()

    async def reach(self, due: Mapping[int, float]) -> None:
        """Return once as much is read, or has ended."""
        while self.is_behind(due):
            await self.changed()

    def _changed(self) -> None:
        self._change.set()
        self._change = trio.Event()


def _is_hung_up(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)  # POLLHUP is told unasked (poll(2))
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _unread(descriptor: int) -> int:
    """How many bytes are in a pipe or a terminal: FIONREAD of ioctl_tty(2), pipe(7)."""
    (size,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))
    return int(size)
