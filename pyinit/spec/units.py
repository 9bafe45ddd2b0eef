"""Durations, sizes and signals as people write them. Each reader raises ValueError."""

from __future__ import annotations

import re
import signal

from pyinit.errors import UsageError
from pyinit.spec.signals import parse_signal

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|m|h|d)", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_SCALE = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
# Longer than any container lives, and well inside what clocks and timers take.
_LONGEST = 100 * 365 * 86400.0


def duration(value: object) -> float:
    """Seconds in `value`: a number of seconds, or text such as "10s", "1m30s", "500ms"."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f'expected a duration such as "10s" or a number of seconds, got {value!r}')
    seconds = _duration_text(value) if isinstance(value, str) else float(value)
    if not 0 <= seconds <= _LONGEST:
        raise ValueError(f"a duration is between 0 and 100 years, got {value!r}")
    return seconds


def _duration_text(text: str) -> float:
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        return float(stripped)
    total, at = 0.0, 0
    while at < len(stripped):
        part = _DURATION_PART.match(stripped, at)
        if part is None:
            break
        total += float(part[1]) * _SECONDS[part[2]]
        at = part.end()
    if not stripped or at < len(stripped):
        raise ValueError(f'expected a duration such as "10s", "1m30s" or "500ms", got {text!r}')
    return total


def size(value: object) -> int:
    """Bytes in `value`: a number of bytes, or text such as "64M" (powers of 1024)."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"a size is not negative, got {value}")
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'expected a size such as "64M" or a number of bytes, got {value!r}')
    return int(float(match[1]) * _SCALE[match[2].lower()])


def signal_number(value: object) -> int:
    """The number of a signal: 15, "15", "TERM", "SIGTERM", "SIGRTMIN+3" or "RTMAX-1"."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f'expected a signal such as "SIGTERM" or its number, got {value!r}')
    try:
        return parse_signal(str(value))
    except UsageError as error:
        raise ValueError(str(error)) from None


def signal_name(number: int) -> str:
    """The name of signal `number`, `SIGRTMIN+n` for the real-time ones."""
    if signal.SIGRTMIN < number < signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
