"""The last records of each log, in memory: for clients that don't read the files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

# What a batch takes beside its bytes.
_OVERHEAD = 128


class _Held:
    """The records of one log. Lines are numbered from 0 in the order they came."""

    __slots__ = ("batches", "end", "size")

    def __init__(self) -> None:
        self.batches: deque[tuple[int, bytes]] = deque()
        """Each batch of records, under the number of its first line."""
        self.end = 0
        self.size = 0

    @property
    def first(self) -> int:
        return self.batches[0][0] if self.batches else self.end


class LogRing:
    """Keeps about `total` bytes, shared evenly among the logs that have written anything."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._logs: dict[str, _Held] = {}

    def append(self, service: str, records: bytes) -> None:
        """Take in whole records, each with its newline."""
        held = self._logs.get(service)
        if held is None:
            held = self._logs[service] = _Held()
            for other in self._logs.values():
                self._shorten(other)
        held.batches.append((held.end, records))
        held.end += records.count(b"\n")
        held.size += len(records) + _OVERHEAD
        self._shorten(held)

    def _shorten(self, held: _Held) -> None:
        share = self._total // len(self._logs)
        while held.size > share and len(held.batches) > 1:
            held.size -= len(held.batches.popleft()[1]) + _OVERHEAD
        number, records = held.batches[0] if held.batches else (0, b"")
        if len(records) > share:
            cut = records.find(b"\n", len(records) - share - 1) + 1
            del held.batches[0]
            held.size = 0
            if cut < len(records):
                held.batches.append((number + records.count(b"\n", 0, cut), records[cut:]))
                held.size = len(records) - cut + _OVERHEAD

    def services(self) -> list[str]:
        return list(self._logs)

    def first(self, service: str) -> int:
        """The number of the first line that is kept."""
        return self._logs[service].first if service in self._logs else 0

    def end(self, service: str) -> int:
        """The number that the next line will have."""
        return self._logs[service].end if service in self._logs else 0

    def read(self, service: str, position: int) -> tuple[list[bytes], int, int]:
        """Every line from `position` on, the position after them, and how many of those
        that were wanted are kept no more."""
        held = self._logs.get(service)
        if held is None:
            return [], position, 0
        missed = max(held.first - position, 0)
        return list(_lines(held, position + missed)), held.end, missed


def _lines(held: _Held, position: int) -> Iterator[bytes]:
    wanted: deque[tuple[int, bytes]] = deque()
    for batch in reversed(held.batches):
        wanted.appendleft(batch)
        if batch[0] <= position:
            break
    for number, records in wanted:
        yield from records[:-1].split(b"\n")[max(position - number, 0) :]
