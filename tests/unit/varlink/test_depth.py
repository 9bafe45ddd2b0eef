from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import ProtocolError
from pyinit.varlink.depth import check_depth

scalars = st.none() | st.booleans() | st.integers() | st.text('[]{}"\\a') | st.floats()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(values, st.integers(0, 5))
def test_valid_json_is_judged_exactly(value: object, limit: int) -> None:
    data = json.dumps(value).encode()
    if depth(value) <= limit:
        check_depth(data, limit)
    else:
        with pytest.raises(ProtocolError, match=f"more than {limit} levels"):
            check_depth(data, limit)


@given(st.text('[]{}"\\,').map(str.encode), st.integers(1, 5))
def test_what_opens_far_too_much_is_always_refused(tail: bytes, limit: int) -> None:
    with pytest.raises(ProtocolError):
        check_depth(b"[" * (2 * limit + 1) + tail, limit)


@pytest.mark.parametrize("unit", [b"[", b'{"a":', b"[{", b'["\\"[",'])
def test_a_megabyte_of_nesting(unit: bytes) -> None:
    with pytest.raises(ProtocolError):
        check_depth(unit * ((1 << 20) // len(unit)))
