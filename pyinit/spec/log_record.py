"""One record of a log as Kubernetes' CRI has it: `TIME STREAM TAG TEXT`, a line each.

TIME is RFC 3339 with nanoseconds, STREAM stdout or stderr. TAG is F for a whole line, or
the last part of one, and P for a part that goes on in the stream's next record.
"""

from __future__ import annotations

import time
from functools import lru_cache

from msgspec import Struct

# Bytes of a time as `stamp` writes it.
STAMP = 30
_BILLION = 1_000_000_000


class LogRecord(Struct, frozen=True):
    """A line, or with `partial` a part of one. `time` in nanoseconds since 1970."""

    time: int
    stream: str
    partial: bool
    text: bytes


def stamp(nanoseconds: int) -> bytes:
    """A time as records have it, in UTC and always of the same length."""
    seconds, rest = divmod(nanoseconds, _BILLION)
    return b"%b.%09dZ" % (_whole_seconds(seconds), rest)


@lru_cache(maxsize=16)
def _whole_seconds(seconds: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()


def prefix(nanoseconds: int, stream: str, *, partial: bool = False) -> bytes:
    """What comes before a record's text."""
    return b"%b %b %b " % (stamp(nanoseconds), stream.encode(), b"P" if partial else b"F")


def parse(line: bytes) -> LogRecord | None:
    """The record on a line without its newline; None where the line is none."""
    parts = line.split(b" ", 3)
    if len(parts) < 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    moment = parse_time(parts[0].decode("ascii", "replace"))
    # A tag may carry more after a colon, says the CRI's design.
    tag = parts[2].partition(b":")[0]
    if moment is None or tag not in (b"F", b"P"):
        return None
    return LogRecord(moment, parts[1].decode(), tag == b"P", parts[3])


def parse_time(text: str) -> int | None:
    """Nanoseconds since 1970 of an RFC 3339 time, None for anything else."""
    if text.endswith("Z"):
        head, zone = text[:-1], "+00:00"
    else:
        head, zone = text[:-6], text[-6:]
    whole, _, fraction = head.partition(".")
    if fraction and not (fraction.isdecimal() and len(fraction) <= 9):
        return None
    seconds = _seconds_of(whole, zone)
    return None if seconds is None else seconds * _BILLION + int(fraction.ljust(9, "0"))


@lru_cache(maxsize=16)
def _seconds_of(whole: str, zone: str) -> int | None:
    if len(whole) != 19 or len(zone) != 6:
        return None
    # Records are written, but not read, on the way to a container's first process.
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(whole + zone)
    except ValueError:
        return None
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since_epoch.days * 86400 + since_epoch.seconds
