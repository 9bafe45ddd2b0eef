"""`pyinit-ctl kill`: a signal for a container's main command."""

from __future__ import annotations

from pyinit.spec.signals import parse_signal
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.flags import VALUE, Given, Option
from pyinit_ctl.verb import Verb


def kill(given: Given, words: list[str]) -> int:
    """Carry out the verb. Raises PyinitError."""
    (target,) = words
    signal = given.value("signal")
    name = "KILL" if signal is None else signal
    parse_signal(name)
    with BlockingClient(target) as client:
        client.call("Kill", signal=name)
    return 0


VERB = Verb(
    "kill",
    "Send a signal to the main command of a container.",
    (Option("s", "signal", VALUE, "TEXT", "Name or number. [KILL]"),),
    ("TARGET",),
    kill,
)
