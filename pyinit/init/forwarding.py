"""Which signals init takes, and how each goes on to the main command.

Loads nothing but C modules, not even `signal`, whose enums take longer than the rest of
the way to the command.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Mapping
else:
    import _signal

# Raised by a fault of the process itself: handling them would loop forever.
_SYNCHRONOUS = (
    *(_signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE),
    *(_signal.SIGILL, _signal.SIGTRAP),
)
_UNCATCHABLE = (_signal.SIGKILL, _signal.SIGSTOP)
# SIGABRT is how a program asks for its own end; SIGSYS is seccomp's answer to a call.
_OWN = (_signal.SIGABRT, _signal.SIGSYS)

# 32 and 33 belong to libc, which refuses handlers for them.
HANDLED: tuple[int, ...] = tuple(
    number
    for number in (*range(1, 32), *range(int(_signal.SIGRTMIN), int(_signal.SIGRTMAX) + 1))
    if number not in (*_SYNCHRONOUS, *_UNCATCHABLE, *_OWN)
)

# What a terminal sends to stop a job. The leader of a session of its own is in an orphaned
# process group, where the kernel drops these three, but not SIGSTOP (setpgid(2)).
JOB_STOPS: tuple[int, ...] = (_signal.SIGTSTP, _signal.SIGTTIN, _signal.SIGTTOU)


class Forwarding:
    """How a signal goes on to the main command.

    `rewrite` says what is sent in place of a signal, 0 for nothing. With `group` it goes to
    the command's whole process group. `stops_self`: a job-control stop stops this process
    too, so that whoever started it sees the job stopped. In PID 1 that has no effect.
    """

    __slots__ = ("group", "rewrite", "stops_self")

    def __init__(
        self,
        rewrite: Mapping[int, int] | None = None,
        *,
        group: bool = False,
        stops_self: bool = False,
    ) -> None:
        self.rewrite = dict(rewrite or {})
        self.group = group
        self.stops_self = stops_self

    def deliver(self, pid: int, number: int) -> int:
        """Pass a signal on to a child that was not waited for yet. Returns what was sent."""
        sent = self.rewrite.get(number, number)
        if sent:
            try:
                os.kill(-pid if self.group else pid, sent)
            except (ProcessLookupError, PermissionError):
                sent = 0
        if self.stops_self and number in JOB_STOPS:
            os.kill(os.getpid(), _signal.SIGSTOP)
        return sent
