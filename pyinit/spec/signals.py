"""Signals by name or number, as people write them."""

from __future__ import annotations

import signal

from pyinit.errors import UsageError


def parse_signal(text: str) -> int:
    """The number for TERM, SIGTERM, sigterm, 15, RTMIN+3, SIGRTMAX-1. Raises UsageError."""
    word = text.strip().upper()
    if word.isdigit():
        number = int(word)
    else:
        number = _named(word if word.startswith("SIG") else f"SIG{word}")
    if 1 <= number <= signal.SIGRTMAX and number not in (32, 33):
        return number
    raise UsageError(
        f"no such signal: {text!r}; give a name such as TERM, HUP or RTMIN+3, or a number"
    )


def _named(name: str) -> int:
    for base, sign in (("SIGRTMIN", "+"), ("SIGRTMAX", "-")):
        head, found, offset = name.partition(sign)
        if found and head == base and offset.isdigit():
            value = int(f"{sign}{offset}") + getattr(signal, base)
            return value if signal.SIGRTMIN <= value <= signal.SIGRTMAX else 0
    found_signal = signal.Signals.__members__.get(name)
    return int(found_signal) if found_signal is not None else 0


def signal_name(number: int) -> str:
    """SIGTERM for 15, SIGRTMIN+3 for 37, and the plain number for what has no name."""
    if signal.SIGRTMIN < number < signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
