"""The two codecs hold to the same rules of the envelope."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import ProtocolError, UsageError
from pyinit.varlink import lean_json, typed
from pyinit.varlink.envelope import ErrorReply, build_call, build_error, build_reply
from pyinit.varlink.faults import InvalidParameter

both = pytest.mark.parametrize("codec", [lean_json, typed], ids=["lean", "typed"])


def plain(parameters: Any) -> Any:
    return json.loads(bytes(parameters)) if isinstance(parameters, msgspec.Raw) else parameters


unicode = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | unicode
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(unicode, inner, max_size=3),
    max_leaves=8,
)
parameters = st.dictionaries(unicode, values, max_size=3)
flags = st.sampled_from([{}, {"more": True}, {"oneway": True}, {"upgrade": True}])
near_envelope = st.text('{}[]",:01 e"').map(
    lambda t: t.replace("e", '"error":').replace("1", '"method":').encode()
)
envelopes = st.dictionaries(
    st.sampled_from(["method", "parameters", "more", "oneway", "upgrade", "error", "continues"]),
    values,
).map(lambda value: json.dumps(value).encode())


@both
@given(st.text("abc.", min_size=1), parameters, flags)
def test_a_call_comes_back_as_it_was_built(
    codec: Any, method: str, parameters: dict[str, object], flags: dict[str, bool]
) -> None:
    call = codec.decode_call(codec.encode(build_call(method, parameters, **flags)))
    assert call.method == method
    assert plain(call.parameters) == parameters
    assert {n: True for n in ("more", "oneway", "upgrade") if getattr(call, n)} == flags


@both
@given(parameters, st.booleans())
def test_a_reply_comes_back_as_it_was_built(
    codec: Any, parameters: dict[str, object], continues: bool
) -> None:
    reply = codec.decode_reply(codec.encode(build_reply(parameters, continues=continues)))
    assert (plain(reply.parameters), reply.continues, reply.error) == (parameters, continues, None)
    error = codec.decode_reply(codec.encode(build_error("a.E", parameters)))
    assert (plain(error.parameters), error.continues, error.error) == (parameters, False, "a.E")


@both
@given(st.binary() | near_envelope | envelopes)
def test_no_input_raises_anything_but_protocol_error(codec: Any, data: bytes) -> None:
    for decode in (codec.decode_call, codec.decode_reply):
        try:
            decode(data)
        except ProtocolError:
            continue


@given(envelopes)
def test_both_codecs_judge_an_envelope_alike(data: bytes) -> None:
    def judge(codec: ModuleType, decode: str) -> bool:
        try:
            getattr(codec, decode)(data)
        except ProtocolError:
            return False
        return True

    for decode in ("decode_call", "decode_reply"):
        assert judge(lean_json, decode) == judge(typed, decode)


@both
@pytest.mark.parametrize(
    "data",
    [
        b"7",
        b"[]",
        b"{}",
        b'{"method":""}',
        b'{"method":null}',
        b'{"method":7}',
        b'{"method":"a.B","parameters":[]}',
        b'{"method":"a.B","more":1}',
        b'{"method":"a.B","odd":1}',
        b'{"method":"a.B","more":true,"oneway":true}',
        b'{"method":"a.B","more":true,"upgrade":true}',
        b'{"method":"a.B"}{}',
        b'{"method":"a.B","parameters":' + b'{"a":' * 40 + b"1" + b"}" * 41,
    ],
)
def test_calls_that_are_refused(codec: Any, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.decode_call(data)


@both
@pytest.mark.parametrize(
    "data",
    [
        b'{"error":""}',
        b'{"error":7}',
        b'{"error":"a.E","continues":true}',
        b'{"continues":"yes"}',
        b'{"parameters":"x"}',
        b'{"method":"a.B"}',
    ],
)
def test_replies_that_are_refused(codec: Any, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.decode_reply(data)


@both
def test_null_is_the_same_as_absent(codec: Any) -> None:
    call = codec.decode_call(
        b'{"method":"a.B","parameters":null,"more":null,"oneway":null,"upgrade":null}'
    )
    assert (plain(call.parameters), call.more, call.oneway, call.upgrade) == ({}, *[False] * 3)
    reply = codec.decode_reply(b'{"parameters":null,"continues":null,"error":null}')
    assert (plain(reply.parameters), reply.continues, reply.error) == ({}, False, None)


def test_what_is_empty_is_sent_as_little() -> None:
    assert build_call("a.B") == {"method": "a.B"}
    assert build_reply() == {"parameters": {}}
    assert build_error("a.E") == {"error": "a.E", "parameters": {}}


def test_an_error_reply_reads_as_its_message() -> None:
    assert str(ErrorReply("a.E")) == "a.E"
    assert ErrorReply("a.E").parameters == {}
    assert str(ErrorReply("a.E", {"x": 1}, "it went wrong")) == "it went wrong"


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    argv: list[str]
    size: typed.Int = 0


def test_parameters_are_read_into_the_struct_of_the_method() -> None:
    call = typed.decode_call(b'{"method":"a.B","parameters":{"argv":["x"],"size":-1}}')
    assert typed.decode_parameters(call.parameters, Wanted) == Wanted(["x"], -1)


@pytest.mark.parametrize(
    ("raw", "culprit"),
    [
        (b"{}", "argv"),
        (b'{"argv":[1]}', "argv[0]"),
        (b'{"argv":[],"odd":1}', "odd"),
        (b'{"argv":[],"size":9223372036854775808}', "size"),
        (b'{"argv":["\xff"]}', ""),
        (b'{"argv":["\\ud800"]}', ""),
        (b"[]", ""),
    ],
)
def test_a_wrong_parameter_is_named(raw: bytes, culprit: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        typed.decode_parameters(msgspec.Raw(raw), Wanted)
    assert caught.value.parameters == {"parameter": culprit}
    assert str(caught.value)


def test_the_typed_codec_sends_structs_and_refuses_what_is_no_json() -> None:
    assert typed.encode({"parameters": Wanted(["x"])}) == b'{"parameters":{"argv":["x"],"size":0}}'
    for value in ("\udcff", object()):
        with pytest.raises(UsageError, match="can't be sent as JSON"):
            typed.encode({"x": value})
