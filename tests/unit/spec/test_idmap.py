"""Maps of user and group ids."""

from __future__ import annotations

import pytest

from pyinit.errors import UsageError
from pyinit.spec.idmap import IdMap, Range, kept, outside_of, parse_map, rooted


def test_a_map_is_read() -> None:
    assert parse_map("0:1000:1,1:100000:65536") == (Range(0, 1000, 1), Range(1, 100000, 65536))
    assert str(Range(0, 1000, 1)) == "0:1000:1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "INSIDE:OUTSIDE:COUNT"),
        ("0:1", "INSIDE:OUTSIDE:COUNT"),
        ("a:b:c", "INSIDE:OUTSIDE:COUNT"),
        ("0:1:-1", "INSIDE:OUTSIDE:COUNT"),
        ("0:0:0", "no range"),
        ("0:4294967290:10", "no range"),
        ("0:0:4294967296", "no range"),
        ("0:0:10,9:100:1", "twice inside"),
        ("0:0:10,10:9:1", "twice outside"),
        ("1:0:10", "id 0 is missing"),
        (",".join(f"{n}:{n}:1" for n in range(341)), "at most"),
    ],
)
def test_a_bad_map_says_why(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_map(text)


def test_an_id_is_looked_up() -> None:
    ranges = parse_map("0:1000:1,1:100000:10")
    assert [outside_of(ranges, inside) for inside in (0, 1, 10, 11)] == [1000, 100000, 100009, None]


@pytest.mark.parametrize("own", [0, 5, 1000])
@pytest.mark.parametrize("count", [0, 1, 999, 1000, 65536])
def test_whoever_is_kept_keeps_the_id_and_all_others_are_apart(own: int, count: int) -> None:
    ranges = kept(own, 100000, count)
    assert outside_of(ranges, own) == own
    others = [each for each in ranges if each.outside != own]
    assert sum(each.count for each in others) == count
    outside = [n for each in others for n in range(each.outside, each.outside + each.count)]
    assert outside == list(range(100000, 100000 + count))


def test_root_alone_and_with_others() -> None:
    assert rooted(1000, 0, 0) == (Range(0, 1000, 1),)
    assert rooted(1000, 100000, 65536) == (Range(0, 1000, 1), Range(1, 100000, 65536))


def test_what_a_map_has() -> None:
    ids = IdMap(rooted(1000, 0, 0), rooted(1000, 100000, 5))
    assert ids.has_group(5)
    assert not ids.has_group(6)
    assert not ids.same
    assert IdMap(parse_map("0:0:65536"), parse_map("0:0:65536")).same
