"""Children that have ended, all at once. Source: waitpid(2)."""

from __future__ import annotations

import os
from collections.abc import Callable


def reap_ended(tell: Callable[[int, int], None]) -> bool:
    """Wait for every child that has ended, and `tell` its pid and status.

    SIGCHLD merges, so one may stand for many. Whether no child is left.
    """
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if not pid:
            return False
        tell(pid, status)
