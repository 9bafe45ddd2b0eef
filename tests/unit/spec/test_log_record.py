"""Records in the CRI format, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.spec.log_record import STAMP, LogRecord, parse, parse_time, prefix, stamp

TIMES = st.integers(0, 4_000_000_000 * 10**9)


@given(TIMES, st.sampled_from(["stdout", "stderr"]), st.booleans(), st.binary(max_size=50))
def test_a_record_is_read_as_it_was_written(
    moment: int, stream: str, partial: bool, text: bytes
) -> None:
    line = prefix(moment, stream, partial=partial) + text
    assert parse(line) == LogRecord(moment, stream, partial, text)


@given(TIMES, TIMES)
def test_stamps_sort_as_their_times_do(one: int, other: int) -> None:
    assert (stamp(one) < stamp(other)) == (one < other)
    assert len(stamp(one)) == STAMP


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("2026-11-22T17:00:00.123456789Z", 1795366800_123456789),
        ("2026-11-22T18:00:00.1+01:00", 1795366800_100000000),
        ("2026-11-22 17:00:00", None),
        ("2026-11-22T17:00Z", None),
        ("2026-13-22T17:00:00Z", None),
        ("2026-11-22T17:00:00.Z", 1795366800_000000000),
        ("2026-11-22T17:00:00.1234567890Z", None),
        ("2026-11-22T17:00:00.12a4Z", None),
        ("2026-11-22T17:00:00+1:00", None),
        ("", None),
    ],
)
def test_times_of_rfc_3339(text: str, nanoseconds: int | None) -> None:
    assert parse_time(text) == nanoseconds


@pytest.mark.parametrize(
    "line",
    [b"", b"text", b"2026-11-22T17:00:00Z stdout F", b"2026-11-22T17:00:00Z stdin F x",
     b"2026-11-22T17:00:00Z stdout Q x", b"yesterday stdout F x", b"\xff stdout F x"],
)  # fmt: skip
def test_what_is_no_record(line: bytes) -> None:
    assert parse(line) is None


def test_a_tag_may_have_more_behind_a_colon() -> None:
    record = parse(b"1970-01-01T00:00:00Z stderr P:x  two spaces")
    assert record == LogRecord(0, "stderr", True, b" two spaces")
