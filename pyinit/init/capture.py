"""Pipes to and from a command whose output is wanted as bytes."""

from __future__ import annotations

import os
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import trio

from pyinit.init.progress import Progress

# After the command's end its pipes may be held open by what it left behind. What is in them
# by then is still read; for more, and for their ends, the wait is so long in all (seconds).
QUIET = 0.1
CHUNK = 65536


class Capture:
    """Three pipes; `limit` bytes of each output are kept, the rest is read and dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.truncated = False
        self._progress = Progress()
        with ExitStack() as undo:
            stdin, self._stdin = _pipe(undo)
            self._stdout, stdout = _pipe(undo)
            self._stderr, stderr = _pipe(undo)
            undo.pop_all()
        self._progress.begin(self._stdout)
        self._progress.begin(self._stderr)
        self.child_side = (stdin, stdout, stderr)
        self._ours = {self._stdin, self._stdout, self._stderr}
        self._theirs = set(self.child_side)
        for descriptor in self._ours:
            os.set_blocking(descriptor, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for descriptor in self._ours | self._theirs:
            os.close(descriptor)
        self._ours, self._theirs = set(), set()

    def give_away(self) -> set[int]:
        """The child's side, from now on somebody else's to close once the command has it."""
        given, self._theirs = self._theirs, set()
        return given

    async def write(self, data: bytes) -> None:
        """Feed the command's standard input, then end it."""
        view = memoryview(data)
        try:
            while view:
                try:
                    view = view[os.write(self._stdin, view) :]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._stdin)
        except BrokenPipeError:
            pass  # it does not want to read, which is no fault
        self._ours.discard(self._stdin)
        os.close(self._stdin)

    async def read(self) -> None:
        """Read both outputs to their ends."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_output, self._stdout, self.stdout)
            nursery.start_soon(self._read_output, self._stderr, self.stderr)

    async def _read_output(self, descriptor: int, kept: bytearray) -> None:
        while True:
            try:
                data = os.read(descriptor, CHUNK)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(descriptor)
                continue
            if not data:
                break
            room = self._limit - len(kept)
            self.truncated = self.truncated or len(data) > room
            kept += data[:room]
            self._progress.advance(descriptor, len(data))
            # Others have their turn, however much there is to read.
            await trio.lowlevel.checkpoint()
        self._progress.end(descriptor)

    async def drained(self) -> bool:
        """Once the command has ended: wait for the rest. Whether both outputs came to an end.

        What is in the pipes is read, however long that takes; what a process that was left
        behind goes on writing is not waited for.
        """
        due = self._progress.due()
        with trio.move_on_after(QUIET):
            while self._progress:
                await self._progress.changed()
        await self._progress.reach(due)
        return not self._progress


def _pipe(undo: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    undo.callback(os.close, reading)
    undo.callback(os.close, writing)
    return reading, writing
