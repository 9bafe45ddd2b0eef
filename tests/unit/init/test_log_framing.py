"""Cutting output into records, and logs into files: the same for any split of the bytes."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pyinit.init.log_framing import Framer, portion, renames
from pyinit.spec.log_record import LogRecord, parse

# Short lines, lines about as long as a record, and some that take several.
PIECES = st.lists(
    st.one_of(
        st.text(alphabet="ab\n", max_size=40).map(str.encode),
        st.integers(0, 40).map(lambda count: b"x" * count),
        st.just(b"\n" * 5),
    ),
    max_size=20,
)
LONGEST = 8


def records(pieces: Sequence[bytes], longest: int = LONGEST) -> list[LogRecord]:
    framer = Framer("stdout", longest)
    written = b"".join([*(framer.feed(piece, 7) for piece in pieces), framer.end(7)])
    assert not written or written.endswith(b"\n")
    found = [parse(line) for line in written.split(b"\n")[:-1]]
    assert None not in found
    return [record for record in found if record is not None]


def text_of(found: Sequence[LogRecord]) -> bytes:
    return b"".join(record.text + (b"" if record.partial else b"\n") for record in found)


@given(PIECES, st.data())
def test_any_split_of_the_bytes_gives_the_same_records(
    pieces: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    split = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert records(split) == records(pieces) == records([whole])


@given(PIECES)
def test_nothing_is_lost_and_no_record_is_too_long(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    found = records(pieces)
    ended = whole if whole.endswith(b"\n") or not whole else whole + b"\n"
    assert text_of(found) == ended
    assert all(len(record.text) <= LONGEST for record in found)
    assert all(len(record.text) == LONGEST for record in found if record.partial)


@given(st.lists(st.binary(max_size=100).map(lambda b: b.replace(b"\n", b"")), max_size=20))
def test_what_is_kept_back_is_bounded(pieces: list[bytes]) -> None:
    framer = Framer("stderr", LONGEST)
    given_in = given_out = 0
    for piece in pieces:
        given_in += len(piece)
        lines = framer.feed(piece, 7).split(b"\n")[:-1]
        given_out += sum(len(record.text) for line in lines if (record := parse(line)))
        assert given_in - given_out <= LONGEST


BATCHES = st.lists(st.binary(max_size=9).map(lambda b: b.replace(b"\n", b".")), min_size=1)


@given(BATCHES, st.integers(-3, 60))
def test_a_portion_is_of_whole_records_and_as_many_as_fit(lines: list[bytes], room: int) -> None:
    batch = b"".join(line + b"\n" for line in lines)
    cut = portion(batch, room)
    assert cut == 0 or batch[:cut].endswith(b"\n")
    assert cut <= max(room, 0)
    rest = batch[cut:]
    assert not rest or cut + rest.index(b"\n") + 1 > room


def test_files_move_up_and_the_last_is_replaced() -> None:
    assert renames("web.log", 1) == []
    assert renames("web.log", 3) == [("web.log.1", "web.log.2"), ("web.log", "web.log.1")]


@given(st.integers(1, 8), st.integers(1, 20))
def test_rotation_keeps_the_newest_files_in_order(count: int, times: int) -> None:
    files = {"x": 0}
    for number in range(1, times + 1):
        if count == 1:
            del files["x"]
        for old, new in renames("x", count):
            if old in files:
                files[new] = files.pop(old)
        files["x"] = number
    names = ["x", *(f"x.{number}" for number in range(1, count))]
    expected = range(times, max(times - count, -1), -1)
    assert files == dict(zip(names, expected, strict=False))
