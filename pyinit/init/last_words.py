"""Whoever follows events or logs hears the last of them, for a while, before PID 1 ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class LastWords:
    """Counts those who are being told something, so that the end can wait for them."""

    def __init__(self) -> None:
        self._listeners = 0
        self._nobody = trio.Event()

    @contextmanager
    def owed(self) -> Iterator[None]:
        """Somebody follows, and is owed the end of it."""
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._nobody.set()

    async def said(self, seconds: float) -> None:
        """Return when all who follow have heard the end, or that time is over."""
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(seconds):
            while self._listeners:
                self._nobody = trio.Event()
                await self._nobody.wait()
