"""What has happened in the container, numbered, for whoever asks and whenever.

An event costs its maker a tuple in a list; most of what it says is put together when it
is read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import trio

from pyinit.init.event_ring import EventRing
from pyinit.init.execs import Exec
from pyinit.spec.status import ExitStatus

KEPT = 4096
# So many pids of orphans are named in one event; the rest is counted.
NAMED = 8
# Characters of a command's words in an event.
LONGEST_COMMAND = 1000

Details = Mapping[str, object]
NOTHING: Details = MappingProxyType({})
# When (seconds since 1970), what, about whom, and what there is to say.
Entry = tuple[float, str, str, Details | Callable[[], Details]]


class Events:
    """The history, and those who wait for more of it."""

    def __init__(self, size: int = KEPT) -> None:
        self.ring: EventRing[Entry] = EventRing(size)
        # Spawning threads tell of what they started.
        self._lock = threading.Lock()
        self._token = trio.lowlevel.current_trio_token()
        self._news = trio.Event()
        self._awaited = False
        self._orphans: list[tuple[int, ExitStatus]] = []
        self._orphan_count = 0
        # Execs whose begin was told, and those whose end came first.
        self._begun: set[str] = set()
        self._ended: set[str] = set()

    def tell(
        self, kind: str, subject: str = "", details: Details | Callable[[], Details] = NOTHING
    ) -> None:
        """Something has happened. Never blocks; from any thread."""
        with self._lock:
            self._keep(kind, subject, details)

    def _keep(self, kind: str, subject: str, details: Details | Callable[[], Details]) -> None:
        self.ring.append((time.time(), kind, subject, details))
        if self._awaited:
            self._awaited = False
            self._token.run_sync_soon(self.wake)

    def wake(self) -> None:
        """Whoever waits for news looks again, in the loop's next turn."""
        self._news.set()
        self._news = trio.Event()

    async def news(self, last: int) -> None:
        """Return when something has happened since the event with the number `last`."""
        self._awaited = True
        if self.ring.last == last:
            await self._news.wait()

    # Execs.

    def exec_begun(self, exec_: Exec) -> None:
        """The command runs. From any thread: its end may be told of first."""
        with self._lock:
            if exec_.id in self._ended:
                self._ended.remove(exec_.id)
                return
            self._begun.add(exec_.id)
            self._keep("exec-begun", exec_.id, _begin_of(exec_))

    def exec_ended(self, exec_: Exec) -> None:
        """The command has ended; what is told is always the begin, then the end."""
        with self._lock:
            if exec_.id in self._begun:
                self._begun.remove(exec_.id)
            else:
                self._ended.add(exec_.id)
                self._keep("exec-begun", exec_.id, _begin_of(exec_))
            self._keep("exec-ended", exec_.id, _end_of(exec_))

    # Orphans.

    def orphan_reaped(self, pid: int, status: ExitStatus) -> None:
        """Those that are reaped in one go are one event: ten thousand would leave no other."""
        self._orphan_count += 1
        if len(self._orphans) < NAMED:
            self._orphans.append((pid, status))
        if self._orphan_count == 1:
            self._token.run_sync_soon(self._tell_orphans, idempotent=True)

    def _tell_orphans(self) -> None:
        orphans, count = self._orphans, self._orphan_count
        self._orphans, self._orphan_count = [], 0
        self.tell("orphans-reaped", "", partial(_orphans, orphans, count))


def _begin_of(exec_: Exec) -> Callable[[], Details]:
    """Of values alone: the history is not to keep ended execs in memory."""
    user, argv = exec_.command.user, shortened(exec_.command.argv)
    return partial(_begin, argv, user.name or user.uid, exec_.child.pid, exec_.peer_uid)


def _begin(argv: Sequence[str], user: str | int, pid: int, peer_uid: int | None) -> Details:
    return {"argv": argv, "user": str(user), "pid": pid, "peer_uid": peer_uid}


def _end_of(exec_: Exec) -> Callable[[], Details]:
    seconds = (exec_.ended or exec_.started) - exec_.started
    return partial(_end, exec_.status, exec_.timed_out, seconds)


def _end(status: ExitStatus | None, timed_out: bool, seconds: float) -> Details:
    return {**ended(status), "timed_out": timed_out, "seconds": round(seconds, 3)}


def shortened(argv: Sequence[str]) -> Sequence[str]:
    """A command's words, or so many of them as tell what it is."""
    if len(argv) < LONGEST_COMMAND // 2 and sum(map(len, argv)) <= LONGEST_COMMAND:
        return argv
    words: list[str] = []
    left = LONGEST_COMMAND
    for word in argv:
        if left <= 0:
            words.append("…")
            break
        words.append(word if len(word) <= left else word[:left] + "…")
        left -= len(word) + 1
    return words


def ended(status: ExitStatus | None) -> dict[str, Any]:
    """A status as events have it: code or signal, the other left out."""
    if status is None:
        return {}
    return {"code": status.code} if status.signal is None else {"signal": status.signal}


def _orphans(orphans: list[tuple[int, ExitStatus]], count: int) -> Details:
    named = [{"pid": pid, **ended(status)} for pid, status in orphans]
    return {"count": count, "orphans": named}
