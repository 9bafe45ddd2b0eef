"""Maps of user namespaces, as they are written and what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import UsageError
from pyinit.spec.idmap import MOST_RANGES, IdMap, Range, kept, outside_of, parse_map, rooted


def test_written_and_read() -> None:
    ranges = parse_map("0:100000:1000,2000:300000:1")
    assert ranges == (Range(0, 100000, 1000), Range(2000, 300000, 1))
    assert ",".join(map(str, ranges)) == "0:100000:1000,2000:300000:1"
    assert [outside_of(ranges, each) for each in (0, 999, 1000, 2000)] == [
        *(100000, 100999),
        None,
        300000,
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "give host"),
        ("0:1", "give host"),
        ("0:x:1", "give host"),
        ("0:1:0", "no range"),
        ("0:4294967295:1", "no range"),
        ("1:1000:5", "id 0 is missing"),
        ("0:1000:5,4:2000:5", "twice inside"),
        ("0:1000:5,10:1004:5", "twice outside"),
        (",".join(f"{n}:{n + 5}:1" for n in range(MOST_RANGES + 1)), "at most"),
    ],
)
def test_bad_maps(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_map(text)


def test_single_ids_and_groups() -> None:
    single = IdMap((Range(0, 1000, 1),), (Range(0, 1000, 1),))
    assert single.single
    assert single.has_group(0)
    assert not single.has_group(5)
    assert not IdMap((Range(0, 1000, 1),), (Range(0, 1000, 10),)).single


@given(st.integers(0, 5000), st.integers(100_000, 200_000), st.integers(0, 5000))
def test_own_id_is_kept_and_every_spare_one_used_once(own: int, spare: int, count: int) -> None:
    ranges = kept(own, spare, count)
    assert outside_of(ranges, own) == own
    spares = sorted(
        (each.outside, each.count) for each in ranges if (each.inside, each.outside) != (own, own)
    )
    assert sum(size for _, size in spares) == count
    assert not spares or spares[0][0] == spare


def test_root_is_oneself() -> None:
    assert rooted(1000, 100000, 0) == (Range(0, 1000, 1),)
    assert rooted(1000, 100000, 9) == (Range(0, 1000, 1), Range(1, 100000, 9))
