"""What is kept of each log in memory: the newest lines, within bounds, each one once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyinit.init.log_ring import LogRing

WRITES = st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 30)), max_size=60)


@given(WRITES, st.integers(100, 2000), st.lists(st.booleans(), max_size=60))
def test_a_reader_gets_each_line_once_or_hears_that_it_missed_it(
    writes: list[tuple[str, int]], total: int, looks: list[bool]
) -> None:
    ring = LogRing(total)
    written: dict[str, list[bytes]] = {"a": [], "b": []}
    position = {"a": 0, "b": 0}

    def look(service: str) -> None:
        lines, end, missed = ring.read(service, position[service])
        seen = position[service] + missed
        assert lines == written[service][seen:]
        assert (
            end
            == len(written[service])
            == ring.end(service)
            == position[service] + missed + len(lines)
        )
        position[service] = end

    for number, (service, count) in enumerate(writes):
        lines = [b"%d.%d" % (number, each) for each in range(count)]
        written[service] += lines
        ring.append(service, b"".join(line + b"\n" for line in lines))
        if number < len(looks) and looks[number]:
            look(service)
    for service in written:
        look(service)
        assert ring.read(service, ring.end(service)) == ([], ring.end(service), 0)


@given(WRITES, st.integers(600, 5000))
def test_what_is_kept_is_bounded(writes: list[tuple[str, int]], total: int) -> None:
    ring = LogRing(total)
    for service, count in writes:
        ring.append(service, b"0123456789\n" * count)
        kept = sum(len(line) + 1 for name in ring.services() for line in ring.read(name, 0)[0])
        assert kept <= total


def test_a_line_too_long_for_the_ring_is_counted_and_not_kept() -> None:
    ring = LogRing(100)
    ring.append("a", b"x" * 300 + b"\n")
    assert ring.read("a", 0) == ([], 1, 1)
    assert ring.first("a") == ring.end("a") == 1


def test_a_log_that_has_written_nothing() -> None:
    ring = LogRing(100)
    assert ring.read("a", 0) == ([], 0, 0)
    assert (ring.first("a"), ring.end("a"), ring.services()) == (0, 0, [])
