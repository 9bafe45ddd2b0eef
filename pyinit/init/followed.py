"""A process that became a service's main one later: it may be no child of PID 1 (yet)."""

from __future__ import annotations

import os

import trio

from pyinit.init.ending import first_of
from pyinit.init.reaper import Reaper
from pyinit.spec.status import ExitStatus

# What another process has waited for has a status that nobody here can know. It is taken as
# a failure: an end that is not understood is never a success.
UNKNOWN = ExitStatus(code=255)


class Followed:
    """Watched by pidfd, and recorded with the reaper: its parent may end before it, and then
    it is PID 1's child."""

    def __init__(self, pid: int, reaper: Reaper) -> None:
        """Raises OSError where there is no such process."""
        self.pid = pid
        self.status: ExitStatus | None = None
        self._pidfd = os.pidfd_open(pid)
        self._reaper = reaper
        self._child = reaper.adopt(pid)

    async def wait(self) -> ExitStatus:
        """The status, once it has ended; 255 where its parent took it. To be called once."""
        try:
            await first_of(self._child.wait, self._ended)
            self._reaper.reap()
        finally:
            os.close(self._pidfd)
            self._reaper.forget(self._child)
        self.status = self._child.status or UNKNOWN
        return self.status

    async def _ended(self) -> None:
        await trio.lowlevel.wait_readable(self._pidfd)
