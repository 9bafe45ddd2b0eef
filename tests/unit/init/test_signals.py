"""Which signals PID 1 takes, and what each leads to."""

from __future__ import annotations

import signal

import pytest

from pyinit.init.signals import HANDLED, SHUTDOWN, EarlySignals, Reaction, reaction
from pyinit.spec.signals import signal_name


def test_real_time_signals_are_handled_and_libcs_own_are_not() -> None:
    assert {signal.SIGRTMIN, signal.SIGRTMIN + 3, signal.SIGRTMAX, signal.SIGPWR} <= set(HANDLED)
    assert not {32, 33, signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV} & set(HANDLED)


@pytest.mark.parametrize("number", HANDLED)
@pytest.mark.parametrize("has_main", [False, True])
@pytest.mark.parametrize("has_services", [False, True])
def test_every_signal_has_a_reaction(number: int, has_main: bool, has_services: bool) -> None:
    found = reaction(number, has_main=has_main, has_services=has_services)
    if number == signal.SIGCHLD:
        assert found is Reaction.REAP
    elif number in SHUTDOWN and (has_services or not has_main):
        assert found is Reaction.SHUT_DOWN
    elif has_main and number != signal.SIGPIPE:
        assert found is Reaction.FORWARD
    else:
        assert found is Reaction.NOTHING


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (15, "SIGTERM"),
        (signal.SIGRTMIN.value + 3, "SIGRTMIN+3"),
        (signal.SIGRTMIN.value, "SIGRTMIN"),
        (signal.SIGRTMAX.value, "SIGRTMAX"),
        (33, "33"),
    ],
)
def test_names(number: int, name: str) -> None:
    assert signal_name(number) == name


def test_early_signals_are_remembered_once_in_order() -> None:
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGUSR2)
    early = EarlySignals([signal.SIGUSR1, signal.SIGUSR2])
    try:
        for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
            signal.raise_signal(number)
        assert early.take() == [signal.SIGUSR2, signal.SIGUSR1]
        assert early.take() == []
    finally:
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGUSR2, before[1])
