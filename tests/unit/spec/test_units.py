from __future__ import annotations

import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyinit.spec import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("2h", 7200),
        ("1d", 86400),
        ("1min", 60),
        ("1.5s", 1.5),
        ("1h 5m", 3900),
        ("7", 7),
        (" 7.5 ", 7.5),
        (3, 3),
        (0.25, 0.25),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert units.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "x", "10 apples", "-1s", "1s2", "s", "1e3"])
def test_a_bad_duration_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        units.duration(text)


@pytest.mark.parametrize("value", [True, None, [], -1, float("nan"), float("inf"), 1e12, ""])
def test_a_duration_of_another_kind_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        units.duration(value)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64M", 64 << 20), ("1k", 1024), ("1.5G", 3 << 29), ("2TiB", 2 << 40), (10, 10), ("10b", 10)],
)
def test_sizes(text: object, size: int) -> None:
    assert units.size(text) == size


@pytest.mark.parametrize("value", ["", "M", "64X", -1, True, 1.5, None])
def test_a_bad_size_is_named(value: object) -> None:
    with pytest.raises(ValueError, match="size"):
        units.size(value)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("sigterm", 15),
        (9, 9),
        ("9", 9),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("RTMAX-1", signal.SIGRTMAX - 1),
        ("RTMIN", signal.SIGRTMIN),
    ],
)
def test_signals(text: object, number: int) -> None:
    assert units.signal_number(text) == number


@pytest.mark.parametrize(
    "value", ["", "SIGFOO", 0, 65, True, None, "RTMIN+99", "RTMIN-1", "RTMAX+1", "99999999999", 1.5]
)
def test_a_bad_signal_is_named(value: object) -> None:
    with pytest.raises(ValueError, match="signal"):
        units.signal_number(value)


@settings(deadline=None)
@given(st.integers(1, signal.SIGRTMAX))
def test_every_signal_has_a_name_that_leads_back(number: int) -> None:
    name = units.signal_name(number)
    if number not in (32, 33):
        assert units.signal_number(name) == number
