"""Moments as people give them: `--since 10m`, `--until 2026-11-22T17:00:00`."""

from __future__ import annotations

import time
from datetime import datetime

from pyinit.errors import UsageError
from pyinit.spec.log_record import parse_time
from pyinit.spec.units import duration

_BILLION = 1_000_000_000


def moment(text: str, now: int | None = None) -> int:
    """Nanoseconds since 1970. A span such as 10m or 1h30m counts back from now.

    Otherwise RFC 3339; a date, or a date and a time, of the local zone; or seconds since
    1970. Raises UsageError.
    """
    now = time.time_ns() if now is None else now
    exact = parse_time(text)
    if exact is not None:
        return exact
    if text.replace(".", "", 1).isdecimal():
        return int(float(text) * _BILLION)
    try:
        return int(datetime.fromisoformat(text).timestamp() * _BILLION)
    except ValueError:
        pass
    try:
        return now - int(duration(text) * _BILLION)
    except ValueError:
        raise UsageError(
            f"bad time {text!r}: give a span such as 10m, or a time such as 2026-11-22T17:00:00"
        ) from None
