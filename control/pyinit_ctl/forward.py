"""Signals that this process gets, passed on to the command inside.

They go over a connection of their own: the one of the exec is in the middle of its call.
"""

from __future__ import annotations

import _signal

from pyinit.errors import PyinitError
from pyinit_ctl import registry

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pyinit_ctl.registry import Target

# By name: numbers differ between architectures, and the target may be on another machine.
FORWARDED = {
    _signal.SIGINT: "INT",
    _signal.SIGTERM: "TERM",
    _signal.SIGHUP: "HUP",
    _signal.SIGQUIT: "QUIT",
    _signal.SIGUSR1: "USR1",
    _signal.SIGUSR2: "USR2",
    _signal.SIGWINCH: "WINCH",
}

# How long a signal's own call may take: an init that hangs must not take the handler along.
_PATIENCE = 5.0


class Forwarder:
    """Takes over the handlers of FORWARDED; what arrives before `begin` waits for it."""

    __slots__ = ("_call", "_early")

    def __init__(self) -> None:
        self._call: tuple[Target, str, dict[str, str]] | None = None
        self._early: list[int] = []
        for number in FORWARDED:
            # What whoever started us wanted ignored (nohup, a background job) stays ignored.
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, self._arrived)

    def begin(self, target: Target, method: str, parameters: dict[str, str]) -> None:
        """The command runs: from now on each signal is a call of `method` with `parameters`."""
        self._call = (target, method, parameters)
        while self._early:
            self._send(self._early.pop(0))

    def _arrived(self, number: int, _frame: object) -> None:
        if self._call is None:
            self._early.append(number)
        else:
            self._send(number)

    def _send(self, number: int) -> None:
        assert self._call is not None
        target, method, parameters = self._call
        from pyinit_ctl.wire import Link

        try:
            with Link(registry.connect(target)) as link:
                link.set_timeout(_PATIENCE)
                link.call(method, {**parameters, "signal": FORWARDED[number]})
        except PyinitError:
            # The command has ended meanwhile, or the container has: the exec's own
            # connection says which.
            return
