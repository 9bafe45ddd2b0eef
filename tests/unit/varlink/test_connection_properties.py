"""Any order of events, any bytes, any split: the rules of `connection` hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import ConnectionLost, ProtocolError, UsageError
from pyinit.varlink import lean_json, typed
from pyinit.varlink.connection import FAILED, IDLE, Client, Server

KINDS: list[dict[str, Any]] = [{}, {"more": True}, {"oneway": True}]
chunks = st.lists(
    st.tuples(
        st.binary(max_size=30)
        | st.sampled_from(
            [
                b'{"method":"a.B"}\0',
                b'{"method":"a.B","more":true}\0',
                b'{"method":"a.B","upgrade":true}\0',
                b'{"parameters":{}}\0',
                b'{"continues":true}\0',
                b'{"error":"a.E"}\0',
                b'{"met',
            ]
        ),
        st.lists(st.integers(3, 9), max_size=3),
    ),
    max_size=12,
)


@pytest.mark.parametrize("codec", [lean_json, typed], ids=["lean", "typed"])
@given(chunks)
def test_no_bytes_make_the_server_raise_anything_else(
    codec: Any, received: list[tuple[bytes, list[int]]]
) -> None:
    server = Server(codec, limit=64, max_fds=2)
    came: list[int] = []
    taken: list[int] = []
    try:
        for data, fds in received:
            came += fds
            server.feed(data, fds)
            call = server.next_call()
            if call is not None:
                taken += call.fds
                server.reply({})
    except ProtocolError:
        assert server.state == FAILED
    assert sorted(taken + server.take_fds()) == sorted(came)


@pytest.mark.parametrize("codec", [lean_json, typed], ids=["lean", "typed"])
@given(chunks, st.sampled_from(KINDS))
def test_no_bytes_make_the_client_raise_anything_else(
    codec: Any, received: list[tuple[bytes, list[int]]], kind: dict[str, Any]
) -> None:
    client = Client(codec, limit=64, max_fds=2)
    client.call("a.B", **kind)
    came: list[int] = []
    taken: list[int] = []
    try:
        for data, fds in received:
            came += fds
            client.feed(data, fds)
            reply = client.next_reply()
            if reply is not None:
                taken += reply.fds
    except (ProtocolError, ConnectionLost):
        assert client.state == FAILED
    assert sorted(taken + client.take_fds()) == sorted(came)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3))), st.integers(1, 50))
def test_every_call_gets_its_own_answer_however_the_bytes_are_cut(
    wanted: list[tuple[dict[str, Any], int]], size: int
) -> None:
    client, server = Client(lean_json), Server(typed)
    sent: list[int] = []
    answered: list[int] = []
    for number, (kind, parts) in enumerate(wanted):
        try:
            data = client.call("a.B", {"n": number, "parts": parts}, **kind)
        except UsageError:  # a stream waits until all before it is answered
            answered += serve(client, server, size)
            data = client.call("a.B", {"n": number, "parts": parts}, **kind)
        for at in range(0, len(data), size):
            server.feed(data[at : at + size])
        if "oneway" not in kind:
            sent += [number] * (parts + 1 if "more" in kind else 1)
        if "more" in kind:
            answered += serve(client, server, size)
    answered += serve(client, server, size)
    assert answered == sent
    assert (client.state, server.state) == (IDLE, IDLE)


def serve(client: Client, server: Server, size: int) -> list[int]:
    """Answer what waits; return the numbers of the calls that the replies were to."""
    got: list[int] = []
    while (call := server.next_call()) is not None:
        wanted = typed.decode_parameters(call.parameters, dict[str, int])
        if call.oneway:
            server.done()
            continue
        data = b"".join(
            server.reply({"n": wanted["n"]}, continues=True)
            for _ in range(wanted["parts"] if call.more else 0)
        )
        data += server.reply({"n": wanted["n"]})
        for at in range(0, len(data), size):
            client.feed(data[at : at + size])
            while (reply := client.next_reply()) is not None:
                got.append(reply.parameters["n"])
    return got
