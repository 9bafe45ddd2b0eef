"""What has happened in the container, numbered, for whoever asks and whenever.

An event costs its maker a tuple in a list; what it says is put together when it is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
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
        self._news = trio.Event()
        self._awaited = False
        self._orphans: list[tuple[int, ExitStatus]] = []
        self._orphan_count = 0
        self._begun: set[str] = set()

    def tell(
        self, kind: str, subject: str = "", details: Details | Callable[[], Details] = NOTHING
    ) -> None:
        """Something has happened. Never blocks."""
        self.ring.append((time.time(), kind, subject, details))
        if self._awaited:
            self._awaited = False
            self._news.set()
            self._news = trio.Event()

    async def news(self) -> None:
        """Return when something has happened."""
        self._awaited = True
        await self._news.wait()

    # Execs.

    def exec_begun(self, exec_: Exec) -> None:
        """Once, whether its begin or its end is heard of first."""
        if exec_.id not in self._begun and exec_.status is None:
            self._begun.add(exec_.id)
            self.tell("exec-begun", exec_.id, lambda: _begin_of(exec_))

    def exec_ended(self, exec_: Exec) -> None:
        if exec_.id in self._begun:
            self._begun.remove(exec_.id)
        else:
            self.tell("exec-begun", exec_.id, lambda: _begin_of(exec_))
        self.tell("exec-ended", exec_.id, lambda: _end_of(exec_))

    # Orphans.

    def orphan_reaped(self, pid: int, status: ExitStatus) -> None:
        """Those that are reaped in one go are one event: ten thousand would leave no other."""
        self._orphan_count += 1
        if len(self._orphans) < NAMED:
            self._orphans.append((pid, status))
        if self._orphan_count == 1:
            token = trio.lowlevel.current_trio_token()
            token.run_sync_soon(self._tell_orphans, idempotent=True)

    def _tell_orphans(self) -> None:
        orphans, count = self._orphans, self._orphan_count
        self._orphans, self._orphan_count = [], 0
        self.tell("orphans-reaped", "", lambda: _orphans(orphans, count))


def _begin_of(exec_: Exec) -> Details:
    user = exec_.command.user
    return {
        "argv": shortened(exec_.command.argv),
        "user": user.name or str(user.uid),
        "pid": exec_.child.pid,
        "peer_uid": exec_.peer_uid,
    }


def shortened(argv: Sequence[str]) -> list[str]:
    """A command's words, or so many of them as tell what it is."""
    words: list[str] = []
    left = LONGEST_COMMAND
    for word in argv:
        if left <= 0:
            words.append("…")
            break
        words.append(word if len(word) <= left else word[:left] + "…")
        left -= len(word) + 1
    return words


def _end_of(exec_: Exec) -> Details:
    seconds = round((exec_.ended or exec_.started) - exec_.started, 3)
    return {**ended(exec_.status), "timed_out": exec_.timed_out, "seconds": seconds}


def ended(status: ExitStatus | None) -> dict[str, Any]:
    """A status as events have it: code or signal, the other left out."""
    if status is None:
        return {}
    return {"code": status.code} if status.signal is None else {"signal": status.signal}


def _orphans(orphans: list[tuple[int, ExitStatus]], count: int) -> Details:
    named = [{"pid": pid, **ended(status)} for pid, status in orphans]
    return {"count": count, "orphans": named}
