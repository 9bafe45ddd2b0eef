"""What PID 1 does with signals: which it takes, which it passes on, which end it.

In PID 1 a signal without a handler is dropped by the kernel (pid_namespaces(7)), so every
signal that can have one gets one, and that before anything is reported ready.
"""

from __future__ import annotations

import signal
from enum import Enum, auto

from pyinit.init.forwarding import HANDLED

SIGRTMIN = signal.SIGRTMIN.value

# What runtimes send to say "end": docker and podman TERM, a terminal INT, LXC SIGPWR,
# systemd-nspawn SIGRTMIN+3 (halt) and SIGRTMIN+4 (power off).
SHUTDOWN = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGPWR, SIGRTMIN + 3, SIGRTMIN + 4})


class Reaction(Enum):
    """What a signal leads to."""

    REAP = auto()
    FORWARD = auto()
    SHUT_DOWN = auto()
    NOTHING = auto()


def reaction(number: int, *, has_main: bool, has_services: bool = False) -> Reaction:
    """The policy. A main command gets every signal; without one, PID 1 acts itself."""
    if number == signal.SIGCHLD:
        return Reaction.REAP
    if has_services and number in SHUTDOWN:
        return Reaction.SHUT_DOWN
    if has_main:
        return Reaction.NOTHING if number == signal.SIGPIPE else Reaction.FORWARD
    return Reaction.SHUT_DOWN if number in SHUTDOWN else Reaction.NOTHING


class EarlySignals:
    """Handlers for the time before trio takes over: they remember what came."""

    def __init__(self, numbers: tuple[int, ...] = HANDLED, missed: tuple[int, ...] = ()) -> None:
        self.pending: list[int] = [*missed]
        for number in numbers:
            signal.signal(number, self._remember)
        # A start that had nobody to take them kept them waiting.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)

    def _remember(self, number: int, _frame: object) -> None:
        self.pending.append(number)

    def take(self) -> list[int]:
        """What came so far, each number once, in the order of the first."""
        numbers = list(dict.fromkeys(self.pending))
        self.pending.clear()
        return numbers
