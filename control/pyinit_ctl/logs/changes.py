"""Waiting for news of a container's logs: something was written, or the container ended."""

from __future__ import annotations

import os
import select
from types import TracebackType
from typing import Self

from pyinit.errors import SystemFault
from pyinit.linux.inotify import FolderWatch


class Changes:
    """Watches a folder of logs, and a container's init by its pidfd, which it owns."""

    def __init__(self, folder: str, pidfd: int) -> None:
        self._pidfd = pidfd
        try:
            self._watch = FolderWatch(folder)
        except OSError as error:
            os.close(pidfd)
            raise SystemFault(f"watch {folder}", error) from None
        self._poll = select.poll()
        self._poll.register(self._watch, select.POLLIN)
        self._poll.register(pidfd, select.POLLIN)

    def wait(self, seconds: float | None = None) -> bool:
        """Until there is news, at most that long; whether the container may write more."""
        ready = {found for found, _ in self._poll.poll(seconds and seconds * 1000)}
        # Cleared before the files are read: what comes afterwards counts as new.
        self._watch.clear()
        return self._pidfd not in ready

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.close()
        os.close(self._pidfd)
