from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyinit
from pyinit.errors import ProtocolError, UsageError
from pyinit.varlink import lean_json

unicode = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | unicode
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(unicode, inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_it_is_json_on_its_domain(value: object) -> None:
    data = lean_json.dumps(value)
    assert json.loads(data) == value
    assert lean_json.loads(data) == value
    assert lean_json.loads(b" \n" + json.dumps(value, indent=1).encode() + b"\r\t") == value


near_json = st.text('{}[]",:0123456789.eE+-\\ ntfu"rlasd\u00e9').map(str.encode)


@given(st.binary() | near_json)
def test_no_input_raises_anything_but_protocol_error(data: bytes) -> None:
    try:
        value = lean_json.loads(data)
    except ProtocolError:
        return
    assert json.loads(data) == value
    json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "malformed JSON at character 0"),
        (b"[1,]", "malformed JSON at character 3"),
        (b'{"a"', "malformed JSON"),
        (b'"abc', "malformed JSON"),
        (b'"\x01"', "malformed JSON"),
        (b'"\xff"', "can't decode byte 0xff"),
        (b"{} {}", "more text after its end at character 2"),
        (b"[NaN]", "NaN is no JSON value"),
        (b"-Infinity", "-Infinity is no JSON value"),
        (b"1e999", "out of range"),
        (b"18446744073709551616", "more than 64 bits"),
        (b"-9223372036854775809", "more than 64 bits"),
        (b"9" * 10000, "more than 64 bits"),
        (b'{"a":["\\ud800"]}', r"half a surrogate pair at a\[0\]"),
        (b'{"\\uDfff":1}', "half a surrogate pair at the name of a member of the message"),
        (b"[" * 100000, "more than 32 levels"),
    ],
)
def test_what_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        lean_json.loads(data)


def test_whole_surrogate_pairs_and_repeated_keys_are_taken() -> None:
    assert lean_json.loads(b'"\\ud83d\\ude00 \\\\ud800"') == "\U0001f600 \\ud800"
    assert lean_json.loads(b'{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"argv": ["a", "b\udcff"]}, r"argv\[1\]: 'b\\udcff' is not valid UTF-8"),
        ({"parameters": {"env": {"A": "\udc80"}}}, "parameters.env.A: "),
        ({"env": {"\udc80": "A"}}, "the name of a member of env: "),
        ("\udcff", "the text: "),
        ({"x": float("nan")}, "can't be sent as JSON"),
        ({"x": {1}}, "a set is no JSON value"),
    ],
)
def test_what_can_not_be_said_in_json(value: object, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        lean_json.dumps(value)


def test_a_cycle_can_not_be_said_in_json() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(UsageError, match="can't be sent as JSON"):
        lean_json.dumps(cycle)


def test_calls_and_replies() -> None:
    call = lean_json.decode_call(lean_json.encode({"method": "a.B", "parameters": {"x": 1}}))
    assert (call.method, call.parameters) == ("a.B", {"x": 1})
    assert lean_json.decode_reply(b'{"error":"a.E"}').error == "a.E"


PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import pyinit.varlink.connection, pyinit.varlink.framing, pyinit.varlink.lean_json as lean
import pyinit.varlink.scm
from pyinit.errors import ProtocolError
assert lean.loads(lean.dumps({"a": [1.5, "x"]})) == {"a": [1.5, "x"]}
print(*sorted(m for m in set(sys.modules) - before if not m.startswith("pyinit")))
for text in b'{"a', b'[1', b'"abc', b'"\\q', b'':
    try:
        lean.loads(text)
    except ProtocolError:
        continue
    raise SystemExit(text)
"""


def test_the_lean_modules_load_nothing_but_c() -> None:
    root = str(Path(pyinit.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROBE, root], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert set(done.stdout.split()) <= {"__future__", "_json", "_socket"}
