from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import ProtocolError
from pyinit.varlink.framing import Frame, Framer

messages = st.lists(st.binary(min_size=1, max_size=40).filter(lambda b: 0 not in b), max_size=8)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(p for p in places if p < len(stream))})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


@given(messages, st.lists(st.integers(0, 400)))
def test_any_split_gives_the_same_messages(sent: list[bytes], places: list[int]) -> None:
    framer = Framer(limit=40)
    got = [
        frame
        for chunk in cut(b"".join(m + b"\0" for m in sent), places)
        for frame in framer.feed(chunk)
    ]
    assert got == [Frame(m) for m in sent]
    assert framer.waiting == 0


@given(st.lists(st.tuples(st.binary(max_size=60), st.lists(st.integers(3, 9), max_size=3))))
def test_arbitrary_bytes_raise_only_protocol_error_and_lose_no_descriptor(
    chunks: list[tuple[bytes, list[int]]],
) -> None:
    framer = Framer(limit=20, max_fds=2)
    given_in: list[int] = []
    handed_out: list[int] = []
    try:
        for data, fds in chunks:
            given_in += fds
            for frame in framer.feed(data, fds):
                handed_out += frame.fds
                assert 1 <= len(frame.data) <= 20
                assert len(frame.fds) <= 2
    except ProtocolError:
        pass
    assert sorted(handed_out + framer.take_fds()) == sorted(given_in)
    assert framer.take_fds() == []


def test_descriptors_belong_to_the_message_whose_first_byte_came_with_them() -> None:
    framer = Framer()
    assert framer.feed(b"one\0") == [Frame(b"one")]
    assert framer.feed(b"tw", [5, 6]) == []
    assert framer.feed(b"o\0three\0") == [Frame(b"two", (5, 6)), Frame(b"three")]
    assert framer.feed(b"four\0", [7]) == [Frame(b"four", (7,))]


@pytest.mark.parametrize(
    ("before", "chunk"),
    [
        (b"", b"one\0two\0"),
        (b"", b"one\0tw"),
        (b"on", b"e\0"),
        (b"on", b"e"),
        (b"", b""),
    ],
)
def test_descriptors_whose_message_is_unsure_are_refused(before: bytes, chunk: bytes) -> None:
    framer = Framer()
    framer.feed(before)
    with pytest.raises(ProtocolError, match="descriptors behind another message"):
        framer.feed(chunk, [8])
    assert framer.take_fds() == [8]


def test_too_many_descriptors_are_refused_and_handed_back() -> None:
    framer = Framer(max_fds=2)
    with pytest.raises(ProtocolError, match="at most 2"):
        framer.feed(b"x\0", [7, 8, 9])
    assert framer.take_fds() == [7, 8, 9]


def test_descriptors_of_a_message_before_a_bad_one_are_handed_back() -> None:
    framer = Framer()
    framer.feed(b"a", [5])
    with pytest.raises(ProtocolError, match="empty message"):
        framer.feed(b"\0\0")
    assert framer.take_fds() == [5]


def test_a_message_may_be_as_long_as_the_limit_and_no_longer() -> None:
    framer = Framer(limit=4)
    assert framer.feed(b"four\0") == [Frame(b"four")]
    assert framer.feed(b"four") == []
    with pytest.raises(ProtocolError, match="more than 4 bytes"):
        framer.feed(b"5")
    with pytest.raises(ProtocolError, match="more than 4 bytes"):
        Framer(limit=4).feed(b"fives\0")


def test_what_waits_to_be_pulled_is_bounded() -> None:
    framer = Framer(limit=8)
    framer.push(b"one\0two\0")
    framer.push(b"t\0")
    with pytest.raises(ProtocolError, match="wait for their turn"):
        framer.push(b"x")
    assert framer.pull() == Frame(b"one")
    assert framer.waiting == 6
    assert framer.take_rest() == b"two\0t\0"
    assert framer.pull() is None


def test_frames_compare_by_value_and_show_what_they_hold() -> None:
    assert Frame(b"a", (3,)) != Frame(b"a")
    assert Frame(b"a") != "a"
    assert repr(Frame(b"a", (3,))) == "Frame(b'a', (3,))"
