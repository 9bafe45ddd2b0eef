"""Signals as people write them."""

from __future__ import annotations

import signal

import pytest

from pyinit.errors import UsageError
from pyinit.spec.signals import parse_signal
from pyinit.spec.status import ExitStatus

RTMIN, RTMAX = signal.SIGRTMIN.value, signal.SIGRTMAX.value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("SIGTERM", 15),
        (" sigterm ", 15),
        ("15", 15),
        ("RTMIN", RTMIN),
        ("RTMIN+3", RTMIN + 3),
        ("SIGRTMAX-1", RTMAX - 1),
        (str(RTMAX), RTMAX),
    ],
)
def test_known(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "32", "33", "65", "NOPE", "RTMIN+99", "RTMAX-99", "RTMIN+", "TERM+1"]
)
def test_unknown(text: str) -> None:
    with pytest.raises(UsageError, match="no such signal"):
        parse_signal(text)


def test_exit_status_as_a_shell_shows_it() -> None:
    assert ExitStatus.from_wait(7 << 8) == ExitStatus(code=7)
    assert ExitStatus.from_wait(9) == ExitStatus(signal=9)
    assert (ExitStatus(code=7).exit_code, ExitStatus(signal=9).exit_code) == (7, 137)
    assert ExitStatus().exit_code == 128
