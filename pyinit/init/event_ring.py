"""A bounded history whose entries have numbers, so that a reader knows what it missed."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class EventRing(Generic[T]):
    """Keeps the last `size` entries. The first one ever has the number 1."""

    __slots__ = ("_entries", "_size", "last")

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: list[T] = []
        self.last = 0
        """The number of the newest entry, 0 before there is one."""

    @property
    def first(self) -> int:
        """The number of the oldest entry that is kept; the next one's where none is."""
        return self.last - len(self._entries) + 1

    def append(self, entry: T) -> None:
        if len(self._entries) < self._size:
            self._entries.append(entry)
        else:
            self._entries[self.last % self._size] = entry
        self.last += 1

    def after(self, number: int, most: int) -> tuple[list[tuple[int, T]], int]:
        """At most `most` entries with higher numbers, oldest first; and how many are gone."""
        start = number + 1
        missed = max(self.first - start, 0)
        start += missed
        end = min(self.last, start + most - 1)
        size = self._size
        return [(each, self._entries[(each - 1) % size]) for each in range(start, end + 1)], missed
