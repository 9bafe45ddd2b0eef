"""One line of a log as it is shown, wherever it was read."""

from __future__ import annotations

from msgspec import Struct


class Line(Struct, frozen=True):
    """A line, or with `partial` a part of one. `time` in nanoseconds since 1970."""

    time: int
    service: str
    stream: str
    partial: bool
    text: bytes
