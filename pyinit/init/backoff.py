"""How long a service waits before it is started again."""

from __future__ import annotations

from collections.abc import Callable

from pyinit.spec.service import Backoff


def delay(backoff: Backoff, streak: int, random: Callable[[], float]) -> float:
    """Seconds before the restart that follows `streak` restarts in a row.

    `random` gives numbers from 0 to 1. The result lies within `jitter` around
    `initial * factor ** streak`, or around `limit` where that is less.
    """
    try:
        grown = backoff.initial * backoff.factor**streak
    except OverflowError:
        grown = backoff.limit
    spread = 1 + backoff.jitter * (2 * random() - 1)
    return min(grown, backoff.limit) * spread


def exhausted(backoff: Backoff, streak: int) -> bool:
    """Whether `streak` restarts in a row are as many as there may be."""
    return 0 < backoff.attempts <= streak
