"""Bytes between a pipe of ours and a file or terminal, moved by the kernel where it can.

splice(2) refuses some files (those opened with O_APPEND, some terminals and devices) with
EINVAL; these are copied by read and write.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyinit.varlink.envelope import Reply
    from pyinit_ctl.wire import Awaited

CHUNK = 1 << 16
"""Bytes moved at a time: what a pipe holds (pipe(7)), so one that was just made too."""

GRACE = 0.3
"""Seconds that `drain` waits for the end of an output once the command itself has ended."""


class Pump:
    """Moves bytes from `source` to `destination`; closes `closes`, our pipe, at the end.

    `failure` is what went wrong at the far side of that pipe, None for an ordinary end.
    """

    __slots__ = (
        "_closes",
        "_held",
        "_polled",
        "_readable",
        "_splices",
        "destination",
        "done",
        "failure",
        "moved",
        "source",
    )

    def __init__(self, source: int, destination: int, closes: int) -> None:
        self.source = source
        self.destination = destination
        self.done = False
        self.failure: OSError | None = None
        self.moved = 0
        self._closes = closes
        self._held = b""
        self._readable = False
        self._splices = True
        self._polled = not stat.S_ISREG(os.fstat(destination).st_mode)

    def interest(self) -> tuple[int, int]:
        """The descriptor and the poll(2) event to wait for before the next `step`."""
        if self._held or (self._readable and self._polled):
            return self.destination, select.POLLOUT
        return self.source, select.POLLIN

    def step(self, descriptor: int) -> None:
        """Go on, now that `descriptor` is ready: move at most one chunk."""
        if descriptor == self.source and not self._held:
            self._readable = True
            if self._polled:
                return
        try:
            self._move()
        except BlockingIOError:
            self._readable = False
        except OSError as error:
            self.finish(error)

    def finish(self, failure: OSError | None = None) -> None:
        """No more goes across: the command sees the end of its input, or a broken pipe."""
        if self.done:
            return
        self.done = True
        # A command that stops reading its input is no fault of anybody's.
        if failure is not None and not (
            failure.errno == errno.EPIPE and self._closes == self.destination
        ):
            self.failure = failure
        os.close(self._closes)

    def _move(self) -> None:
        if self._splices:
            try:
                self._count(os.splice(self.source, self.destination, CHUNK, flags=_NONBLOCK))
                return
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._splices = False
        if not self._held:
            self._held = os.read(self.source, CHUNK)
            if not self._held:
                self.finish()
                return
        written = os.write(self.destination, self._held)
        self._held = self._held[written:]
        self._count(written)

    def _count(self, moved: int) -> None:
        self.moved += moved
        self._readable = bool(self._held)
        if moved == 0:
            self.finish()


# It is about the pipe of the two only: the other end blocks as its own flags say.
_NONBLOCK = os.SPLICE_F_NONBLOCK


def wait_for(
    pumps: Iterable[Pump], others: Iterable[int], timeout: float | None = None
) -> set[int]:
    """Wait for one of `others` to become readable or one step of a pump, and take the steps.

    Returns those of `others` that are ready. `timeout` in seconds.
    """
    poll = select.poll()
    waiting: dict[int, list[Pump]] = {}
    for pump in pumps:
        if not pump.done:
            descriptor, event = pump.interest()
            waiting.setdefault(descriptor, []).append(pump)
            poll.register(descriptor, event)
    for descriptor in others:
        poll.register(descriptor, select.POLLIN)
    ready = {found for found, _ in poll.poll(None if timeout is None else timeout * 1000)}
    for descriptor in ready & waiting.keys():
        for pump in waiting[descriptor]:
            pump.step(descriptor)
    return ready - waiting.keys()


def relay_until_reply(link: Awaited, pumps: list[Pump]) -> Reply:
    """Move bytes until `link` has a reply, and return that. Raises PyinitError."""
    while (reply := link.pull()) is None:
        if wait_for(pumps, (link.fileno(),)):
            link.read()
    return reply


def drain(pumps: list[Pump], clock: Callable[[], float] = time.monotonic) -> bool:
    """After the command's end: relay what is left of its output. Whether all of it ended.

    What was in a pipe at that moment is relayed, however slow the taker is: it is at most a
    chunk. For the end itself, and what comes meanwhile, the wait is GRACE seconds: a process
    that the command left behind may hold the pipe for ever.
    """
    _relay_rest(pumps)
    end = clock() + GRACE
    while any(not pump.done for pump in pumps) and (left := end - clock()) > 0:
        wait_for(pumps, (), left)
    complete = all(pump.done for pump in pumps)
    for pump in pumps:
        pump.finish()
    return complete


def _relay_rest(pumps: list[Pump]) -> None:
    for pump in pumps:
        enough = pump.moved + CHUNK
        while not pump.done and pump.moved < enough and _has_more(pump):
            wait_for([pump], ())


def _has_more(pump: Pump) -> bool:
    """Whether the pump has bytes on their way, or its source has some or has ended."""
    if pump.interest()[0] != pump.source:
        return True
    poll = select.poll()
    poll.register(pump.source, select.POLLIN)
    return bool(poll.poll(0))
