"""The numbered history: whoever comes back gets what it lacks, or hears how much is gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyinit.init.event_ring import EventRing


@given(st.integers(1, 10), st.lists(st.one_of(st.none(), st.integers(1, 7)), max_size=80))
def test_a_reader_gets_each_event_once_in_order_or_hears_that_it_missed_it(
    size: int, steps: list[int | None]
) -> None:
    ring: EventRing[str] = EventRing(size)
    position = 0
    for step in steps:
        if step is None:
            ring.append(f"event {ring.last + 1}")
            continue
        found, missed = ring.after(position, step)
        assert [number for number, _ in found] == list(
            range(position + missed + 1, position + missed + 1 + len(found))
        )
        assert all(entry == f"event {number}" for number, entry in found)
        assert missed == max(ring.first - 1 - position, 0)
        assert len(found) == min(step, ring.last - position - missed)
        position = found[-1][0] if found else position
    assert ring.last - ring.first + 1 == min(size, ring.last)


def test_nothing_has_happened() -> None:
    ring: EventRing[str] = EventRing(3)
    assert (ring.first, ring.last, ring.after(0, 5)) == (1, 0, ([], 0))
