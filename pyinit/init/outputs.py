"""What detached execs write, kept in bounded memory until somebody comes for it.

Each keeps its newest bytes; older ones are dropped and counted. A reader has a place of its
own in the sequence of all that was ever written: one that is slow misses what was dropped
meanwhile, and holds up neither the command nor anybody else.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import trio

from pyinit.init.faults import Taken
from pyinit.init.progress import Progress

CHUNK = 65536
# Bytes that are kept for one exec, and for all of them together.
LIMIT = 1 << 20
TOTAL = 32 << 20
# In so many turns of the loop a client that has hung up is let go of; twice what it takes.
TURNS = 16

STDOUT, STDERR = 1, 2


class Piece(NamedTuple):
    """Bytes of one stream, and where in the sequence they begin and end."""

    stream: int
    begin: int
    end: int
    data: bytes


class Budget:
    """The memory of all kept output. What is beyond it the oldest output of all makes up for."""

    def __init__(self, total: int = TOTAL) -> None:
        self._total = total
        self._used = 0
        self._rings: dict[Ring, None] = {}

    def enter(self, ring: Ring) -> None:
        self._rings[ring] = None

    def leave(self, ring: Ring) -> None:
        self._rings.pop(ring, None)

    def change(self, size: int) -> None:
        """So many bytes more, or fewer, are kept."""
        self._used += size
        while self._used > self._total and self._rings:
            oldest = next(iter(self._rings))
            oldest.drop_all()
            # What goes on writing becomes the youngest.
            self._rings.pop(oldest, None)
            self._rings[oldest] = None


class Ring:
    """The newest bytes of a sequence, in pieces that each belong to a stream."""

    def __init__(self, budget: Budget, limit: int = LIMIT) -> None:
        self._budget = budget
        self._limit = limit
        self._pieces: deque[tuple[int, bytearray]] = deque()
        self.begin = 0
        self.end = 0
        budget.enter(self)

    def append(self, stream: int, data: bytes) -> None:
        """Add what was written, and drop as many of the oldest bytes as are too many."""
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last[0] == stream and len(last[1]) < CHUNK:
            last[1].extend(data)
        else:
            self._pieces.append((stream, bytearray(data)))
        self.end += len(data)
        self._budget.change(len(data))
        while self.end - self.begin > self._limit:
            self._drop_first(self.end - self.begin - self._limit)

    def _drop_first(self, excess: int) -> None:
        data = self._pieces[0][1]
        size = min(excess, len(data))
        if size == len(data):
            self._pieces.popleft()
        else:
            del data[:size]
        self.begin += size
        self._budget.change(-size)

    def drop_all(self) -> None:
        """Forget the bytes; the sequence goes on."""
        while self._pieces:
            self._drop_first(len(self._pieces[0][1]))

    def read(self, position: int) -> Piece | None:
        """The next bytes from a position on, or from the first that is left; None at the end."""
        begin = self.begin
        for stream, data in self._pieces:
            end = begin + len(data)
            if end > position:
                skipped = max(position - begin, 0)
                return Piece(stream, begin + skipped, end, bytes(data[skipped:]))
            begin = end
        return None

    def text(self) -> bytes:
        """All that is kept, of whatever stream."""
        return b"".join(bytes(data) for _, data in self._pieces)


class KeptOutput:
    """The output of one exec. Its tasks run in `nursery`, and own the descriptors they read."""

    def __init__(self, nursery: trio.Nursery, budget: Budget, identity: str) -> None:
        self._nursery = nursery
        self._budget = budget
        self._identity = identity
        self.ring = Ring(budget)
        self.progress = Progress()
        self._change = trio.Event()
        self._draining: dict[int, trio.CancelScope] = {}
        self._attached = False

    @property
    def has_ended(self) -> bool:
        """Whether nothing more can come."""
        return not self._draining

    def drain(self, descriptor: int, stream: int = STDOUT) -> None:
        """Read from now on, to the end, and close the descriptor then."""
        os.set_blocking(descriptor, False)
        scope = trio.CancelScope()
        self._draining[descriptor] = scope
        self.progress.begin(descriptor)
        self._nursery.start_soon(self._drain, descriptor, stream, scope)

    async def pause(self) -> None:
        """Read no more; what is being read is kept, and the descriptors are closed."""
        for scope in self._draining.values():
            scope.cancel()
        while self._draining:
            await self._change.wait()

    async def _drain(self, descriptor: int, stream: int, scope: trio.CancelScope) -> None:
        try:
            with scope:
                while data := await read_some(descriptor):
                    self.ring.append(stream, data)
                    self.progress.advance(descriptor, len(data))
                    self._changed()
                    # Others have their turn, however much there is to read.
                    await trio.lowlevel.checkpoint()
        finally:
            del self._draining[descriptor]
            self.progress.end(descriptor)
            os.close(descriptor)
            self._changed()

    def _changed(self) -> None:
        self._change.set()
        self._change = trio.Event()

    async def wait_beyond(self, position: int) -> None:
        """Return once there is more than up to the position, or the end has come."""
        while self.ring.end <= position and not self.has_ended:
            await self._change.wait()

    async def let_go(self) -> None:
        """Return once nobody reads it who is on the way out: a client may come back at once."""
        for _ in range(TURNS):
            if not self._attached:
                return
            await trio.lowlevel.checkpoint()

    @contextmanager
    def attachment(self) -> Iterator[None]:
        """For whoever reads it now. Raises Taken while somebody else does."""
        if self._attached:
            raise Taken("attachment to exec", self._identity)
        self._attached = True
        try:
            yield
        finally:
            self._attached = False

    def discard(self) -> None:
        """Forget everything."""
        for scope in self._draining.values():
            scope.cancel()
        self.ring.drop_all()
        self._budget.leave(self.ring)


async def read_some(descriptor: int) -> bytes:
    """What comes next; nothing at the end. A pty says EIO once no process has it open."""
    while True:
        try:
            return os.read(descriptor, CHUNK)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(descriptor)
        except OSError:
            return b""
