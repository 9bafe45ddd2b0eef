from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pyinit.init.backoff import delay, exhausted
from pyinit.spec.service import Backoff

BACKOFFS = st.builds(
    Backoff,
    initial=st.floats(0, 100),
    factor=st.floats(1, 1000),
    jitter=st.floats(0, 1),
    limit=st.floats(100, 10_000),
)


@settings(deadline=None)
@given(BACKOFFS, st.integers(0, 100_000), st.floats(0, 1))
def test_a_delay_stays_within_its_bounds(backoff: Backoff, streak: int, chance: float) -> None:
    seconds = delay(backoff, streak, lambda: chance)
    assert 0 <= seconds <= backoff.limit * (1 + backoff.jitter)
    if streak == 0:
        least, most = 1 - backoff.jitter, 1 + backoff.jitter
        assert backoff.initial * least <= seconds * (1 + 1e-9) + 1e-300
        assert seconds <= backoff.initial * most * (1 + 1e-9)


@settings(deadline=None)
@given(BACKOFFS, st.integers(0, 1000))
def test_a_delay_never_shrinks_without_jitter(backoff: Backoff, streak: int) -> None:
    assert delay(backoff, streak, lambda: 0.5) <= delay(backoff, streak + 1, lambda: 0.5)


def test_the_number_of_attempts_is_bounded_only_where_given() -> None:
    assert not exhausted(Backoff(), 10**6)
    assert [exhausted(Backoff(attempts=2), streak) for streak in range(4)] == [
        False,
        False,
        True,
        True,
    ]
