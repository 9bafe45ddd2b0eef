"""Being init without trio: signals to the command, children reaped, an end to all of it.

For a container that was asked for no control socket: 9 MB in place of 26, and nothing to
load. Signals are blocked and taken one by one, so nothing here runs at any other time.
"""

from __future__ import annotations

import os
import time

from pyinit.init.entrypoint.report import Report
from pyinit.init.forwarding import HANDLED, Forwarding

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

# As pyinit.init.signals.SHUTDOWN: once the command has ended, one of these takes the grace away.
HURRY = (
    *(_signal.SIGTERM, _signal.SIGINT, _signal.SIGPWR),
    *(int(_signal.SIGRTMIN) + 3, int(_signal.SIGRTMIN) + 4),
)
# After KILL: what is left then sleeps in the kernel, or belongs to a user above ours. The
# kernel ends it with PID 1.
KILL_LIMIT = 5.0


class LeanInit:
    """The life of the main command `pid`, which was started with every signal blocked."""

    def __init__(
        self, pid: int, forwarding: Forwarding, report: Report, *, warn_orphans: bool = False
    ) -> None:
        self._pid = pid
        self._forwarding = forwarding
        self._report = report
        self._tell_orphan = report.warning if warn_orphans else report.debug
        self._code: int | None = None
        self._alone = False

    def run(self) -> int:
        """Returns the command's exit code once it has ended, 128 + n for a signal."""
        self._reap()  # what ended before signals were looked at
        while self._code is None:
            self._take(_signal.sigwaitinfo(HANDLED))
        return self._code

    def _take(self, found: _signal.struct_siginfo) -> None:
        number = found.si_signo
        if number == _signal.SIGCHLD:
            self._reap()
        elif number == _signal.SIGPIPE and found.si_pid == os.getpid():
            return  # of a log line that nobody reads
        else:
            sent = self._forwarding.deliver(self._pid, number)
            self._report.debug("signal passed on", signal=number, sent=sent)

    def _reap(self) -> None:
        from pyinit.linux.children import reap_ended  # the command comes before it

        self._alone = reap_ended(self._ended)

    def _ended(self, pid: int, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        if pid == self._pid:
            self._code = code if code >= 0 else 128 - code
            self._report.info("command ended", pid=pid, code=self._code)
        else:
            self._tell_orphan("orphan reaped", pid=pid, code=code)

    def end(self, grace: float) -> None:
        """TERM to all that is left, and KILL after `grace` seconds at most."""
        self._reap()
        if self._alone:
            return
        _broadcast(_signal.SIGTERM)
        # A stopped process acts on TERM only once it goes on.
        _broadcast(_signal.SIGCONT)
        if not self._alone_within(grace):
            self._report.warning("grace is over", seconds=grace)
            _broadcast(_signal.SIGKILL)
            if not self._alone_within(KILL_LIMIT):
                self._report.error("processes left that can't be killed")

    def _alone_within(self, seconds: float) -> bool:
        """Whether the last child went in time. A request to end takes the time away."""
        deadline = time.monotonic() + seconds
        while not self._alone:
            left = deadline - time.monotonic()
            found = _signal.sigtimedwait(HANDLED, left) if left > 0 else None
            if found is None or found.si_signo in HURRY:
                self._reap()
                break
            self._reap()
        return self._alone


def _broadcast(number: int) -> None:
    """Signal every process but PID 1; where init is not PID 1, all that descends from it."""
    own = os.getpid()
    for pid in [-1] if own == 1 else _descendants(own):
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _descendants(ancestor: int) -> list[int]:
    """The pids below a process, from /proc; none where that is not to be seen."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found = children.get(ancestor, [])
    for pid in found:  # grows on the way
        found += children.get(pid, [])
    return found


def _parents() -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    try:
        names = os.listdir("/proc")
    except OSError:
        return found
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The command's name, in parentheses, may hold anything.
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            found.append((int(name), int(fields[1])))
    return found
