"""The time between the start of the main command and that of the reaper.

Where the command ends meanwhile and leaves nothing behind, init is not needed at all.
Signals are blocked, and taken one by one.
"""

from __future__ import annotations

from pyinit.init.config import Adopted
from pyinit.init.forwarding import HANDLED
from pyinit.linux.children import reap_ended
from pyinit.spec.status import ExitStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal


def block_signals() -> None:
    """Keep every signal until somebody is there to take it; before the first thread."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, HANDLED)


class Meanwhile:
    """The time until init is loaded: what came, and how the command fared."""

    def __init__(self, main: Adopted) -> None:
        self.main = main
        self.status: ExitStatus | None = None
        self.missed: list[int] = []
        self._alone = False

    def ended_alone(self) -> ExitStatus | None:
        """The command's status if it has ended and no process is left.

        None as well while its output is still to go somewhere else.
        """
        logged = self.main.logged
        if not self._alone or (logged is not None and any(logged.copies)):
            return None
        return self.status

    def take(self, number: int) -> None:
        """A signal came."""
        if number == _signal.SIGCHLD:
            self._alone = reap_ended(self._ended)
        else:
            self.missed.append(number)

    def wait(self, seconds: float | None) -> None:
        """Take the next signal, if one comes in time."""
        if seconds is None:
            self.take(_signal.sigwaitinfo(HANDLED).si_signo)
        elif (found := _signal.sigtimedwait(HANDLED, seconds)) is not None:
            self.take(found.si_signo)

    def _ended(self, pid: int, status: int) -> None:
        if pid == self.main.pid:
            self.status = ExitStatus.from_wait(status)
