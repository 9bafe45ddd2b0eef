"""Which ids of a user namespace stand for which of the host: pure values (user_namespaces(7))."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from pyinit.errors import UsageError

# The kernel takes so many lines (UID_GID_MAP_MAX_EXTENTS), and ids below 2^32 - 1.
MOST_RANGES = 340
MOST_ID = 2**32 - 2
_NUMBER = r"[0-9]{1,10}"


class Range(msgspec.Struct, frozen=True, array_like=True):
    """`count` ids from `inside` on, which are the ids from `outside` on."""

    inside: int
    outside: int
    count: int

    def __str__(self) -> str:
        return f"{self.inside}:{self.outside}:{self.count}"


class IdMap(msgspec.Struct, frozen=True):
    """The two maps of a user namespace."""

    uids: tuple[Range, ...]
    gids: tuple[Range, ...]

    @property
    def same(self) -> bool:
        """Whether each id is the same inside and outside."""
        return all(each.inside == each.outside for each in (*self.uids, *self.gids))

    def has_group(self, gid: int) -> bool:
        """Whether the group exists inside."""
        return outside_of(self.gids, gid) is not None


def parse_map(text: str) -> tuple[Range, ...]:
    """INSIDE:OUTSIDE:COUNT[,…], for users and groups alike. Raises UsageError."""
    ranges = tuple(_parse_range(text, part) for part in text.split(","))
    if len(ranges) > MOST_RANGES:
        raise UsageError(f"--userns {text[:60]!r}: at most {MOST_RANGES} ranges")
    for side in ("inside", "outside"):
        _check_apart(text, ranges, side)
    if outside_of(ranges, 0) is None:
        raise UsageError(f"--userns {text[:60]!r}: id 0 is missing inside, which init runs as")
    return ranges


def _parse_range(text: str, part: str) -> Range:
    numbers = part.split(":")
    if len(numbers) != 3 or not all(re.fullmatch(_NUMBER, each) for each in numbers):
        raise UsageError(
            f"--userns {text[:60]!r}: give host, private, auto, keep-id, container:NAME, a path,"
            " or INSIDE:OUTSIDE:COUNT[,…]"
        )
    inside, outside, count = map(int, numbers)
    if count < 1 or max(inside, outside) + count - 1 > MOST_ID:
        raise UsageError(f"--userns {text[:60]!r}: {part} is no range of ids from 0 to {MOST_ID}")
    return Range(inside, outside, count)


def _check_apart(text: str, ranges: Sequence[Range], side: str) -> None:
    spans = sorted((getattr(each, side), each.count) for each in ranges)
    for (first, count), (second, _) in pairwise(spans):
        if second < first + count:
            raise UsageError(f"--userns {text[:60]!r}: id {second} is there twice {side}")


def outside_of(ranges: Sequence[Range], inside: int) -> int | None:
    """The host's id for one of the namespace; None where it has none."""
    for each in ranges:
        if each.inside <= inside < each.inside + each.count:
            return each.outside + inside - each.inside
    return None


def kept(own: int, spare: int, count: int) -> tuple[Range, ...]:
    """A map in which `own` is itself, and everybody else comes from `count` ids at `spare`."""
    below = min(own, count)
    ranges = [Range(0, spare, below)] if below else []
    ranges.append(Range(own, own, 1))
    if count > below:
        ranges.append(Range(own + 1, spare + below, count - below))
    return tuple(ranges)


def rooted(own: int, spare: int, count: int) -> tuple[Range, ...]:
    """A map in which root is `own`, and everybody else comes from `count` ids at `spare`."""
    ranges = [Range(0, own, 1)]
    if count:
        ranges.append(Range(1, spare, count))
    return tuple(ranges)
