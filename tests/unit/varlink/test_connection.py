from __future__ import annotations

import pytest

from pyinit.errors import ConnectionLost, ProtocolError, UsageError
from pyinit.varlink import lean_json
from pyinit.varlink.connection import (
    ANSWERING,
    CLIENT,
    FAILED,
    IDLE,
    ONEWAY,
    RAW,
    SERVER,
    STREAMING,
    UPGRADING,
    Client,
    Server,
)
from pyinit.varlink.envelope import Call, Reply


def pair(limit: int = 1 << 16, max_fds: int = 4) -> tuple[Client, Server]:
    return Client(lean_json, limit, max_fds), Server(lean_json, limit, max_fds)


def take_call(server: Server, data: bytes = b"", fds: tuple[int, ...] = ()) -> Call:
    if data:
        server.feed(data, fds)
    call = server.next_call()
    assert call is not None
    return call


def take_reply(client: Client, data: bytes = b"", fds: tuple[int, ...] = ()) -> Reply:
    if data:
        client.feed(data, fds)
    reply = client.next_reply()
    assert reply is not None
    return reply


def test_a_call_and_its_reply() -> None:
    client, server = pair()
    assert server.next_call() is None
    call = take_call(server, client.call("io.x.Do", {"a": 1}))
    assert (call.method, call.parameters, call.fds, call.queued) == ("io.x.Do", {"a": 1}, (), False)
    assert (call.more, call.oneway, call.upgrade) == (False, False, False)
    assert (server.state, client.state) == (ANSWERING, ANSWERING)
    assert server.next_call() is None
    assert client.next_reply() is None
    reply = take_reply(client, server.reply({"b": 2}))
    assert (reply.parameters, reply.continues, reply.error, reply.fds) == (
        {"b": 2},
        False,
        None,
        (),
    )
    assert (server.state, client.state) == (IDLE, IDLE)
    assert client.next_reply() is None


def test_an_error_is_a_final_reply() -> None:
    client, server = pair()
    take_call(server, client.call("io.x.Do"))
    reply = take_reply(client, server.error("io.x.Bad", {"why": "so"}))
    assert (reply.error, reply.parameters) == ("io.x.Bad", {"why": "so"})
    assert (server.state, client.state) == (IDLE, IDLE)


def test_queued_calls_are_answered_one_at_a_time_in_order() -> None:
    client, server = pair()
    server.feed(client.call("io.x.A") + client.call("io.x.B") + client.call("io.x.C"))
    seen = []
    for _ in range(3):
        call = take_call(server)
        seen.append((call.method, call.queued))
        assert server.next_call() is None
        assert take_reply(client, server.reply({"of": call.method})).parameters == {
            "of": call.method
        }
    assert seen == [("io.x.A", False), ("io.x.B", True), ("io.x.C", True)]
    assert client.state == IDLE
    assert not take_call(server, client.call("io.x.D")).queued


def test_what_is_queued_is_told_before_its_turn() -> None:
    client, server = pair()
    first, second = client.call("a.B"), client.call("a.C")
    take_call(server, first)
    assert server.waiting == 0
    server.feed(second)
    assert server.waiting == len(second)
    server.reply()
    take_call(server)
    assert server.waiting == 0


def test_a_more_call_streams_until_its_final_reply() -> None:
    client, server = pair()
    call = take_call(server, client.call("io.x.Watch", more=True))
    assert call.more
    assert (client.state, server.state) == (STREAMING, STREAMING)
    assert [take_reply(client, server.reply({"n": n}, continues=True)).parameters for n in (1, 2)]
    assert take_reply(client, server.reply({"n": 3})).continues is False
    assert (client.state, server.state) == (IDLE, IDLE)


def test_a_stream_may_end_in_an_error() -> None:
    client, server = pair()
    take_call(server, client.call("io.x.Watch", more=True))
    take_reply(client, server.reply(continues=True))
    assert take_reply(client, server.error("io.x.Gone")).error == "io.x.Gone"
    assert client.state == IDLE


def test_a_oneway_call_gets_no_reply() -> None:
    client, server = pair()
    data = client.call("io.x.Note", oneway=True)
    assert client.state == IDLE
    assert take_call(server, data).oneway
    assert server.state == ONEWAY
    with pytest.raises(UsageError, match="can't be sent while at a oneway call"):
        server.reply({})
    server.done()
    assert server.state == IDLE
    with pytest.raises(UsageError):
        server.done()


def test_an_upgraded_connection_hands_back_the_raw_bytes() -> None:
    client, server = pair()
    call = take_call(server, client.call("io.x.Raw", upgrade=True))
    assert call.upgrade
    assert (client.state, server.state) == (UPGRADING, UPGRADING)
    server.feed(b"early\0")
    data = server.reply({"ok": True})
    assert server.state == RAW
    assert server.next_call() is None
    assert server.take_rest() == b"early\0"
    take_reply(client, data + b"\0\0raw")
    assert client.state == RAW
    assert client.take_rest() == b"\0\0raw"
    for side in (client, server):
        side.feed(b"")
        assert side.ended
        with pytest.raises(ProtocolError, match="upgraded to raw bytes"):
            side.feed(b"x", [9])
        assert side.take_fds() == [9]


def test_a_refused_upgrade_leaves_the_connection_as_it_was() -> None:
    client, server = pair()
    take_call(server, client.call("io.x.Raw", upgrade=True))
    take_reply(client, server.error("io.x.No"))
    assert (client.state, server.state) == (IDLE, IDLE)
    with pytest.raises(UsageError, match="only an upgraded connection"):
        client.take_rest()


def test_descriptors_go_with_a_call_and_with_its_first_reply() -> None:
    client, server = pair()
    call = take_call(server, client.call("io.x.Exec", more=True, fds=2), (5, 6))
    assert call.fds == (5, 6)
    reply = take_reply(client, server.reply(continues=True, fds=1), (7,))
    assert reply.fds == (7,)
    with pytest.raises(UsageError, match="behind another message"):
        server.reply(fds=1)
    assert server.reply()


def test_no_descriptors_behind_another_message() -> None:
    client, server = pair()
    client.call("io.x.A")
    with pytest.raises(UsageError, match="behind another message"):
        client.call("io.x.B", fds=1)
    other, _ = pair()
    other.call("io.x.Note", oneway=True)
    with pytest.raises(UsageError, match="behind another message"):
        other.call("io.x.B", fds=1)
    with pytest.raises(UsageError, match="at most 4"):
        pair()[0].call("io.x.B", fds=5)
    server.feed(lean_json.dumps({"method": "io.x.A"}) + b"\0")
    take_call(server)
    with pytest.raises(ProtocolError, match="behind an unanswered call"):
        server.feed(b"{", [8])
    assert server.take_fds() == [8]


def test_a_reply_after_a_later_call_settles_a_oneway_call() -> None:
    client, server = pair()
    note = client.call("io.x.Note", oneway=True)
    ask = client.call("io.x.Ask")
    server.feed(note + ask)
    take_call(server)
    server.done()
    take_call(server)
    take_reply(client, server.reply())
    assert client.call("io.x.Exec", fds=1)


def test_no_descriptors_to_a_caller_who_queued() -> None:
    client, server = pair()
    server.feed(client.call("io.x.A") + client.call("io.x.Open"))
    take_call(server)
    server.reply()
    take_call(server)
    with pytest.raises(UsageError, match="behind another message"):
        server.reply(fds=1)
    assert server.error("io.x.NotQueued")


@pytest.mark.parametrize("kind", ["more", "upgrade"])
def test_a_call_that_owns_the_connection_waits_for_the_others(kind: str) -> None:
    client, _ = pair()
    client.call("io.x.A")
    with pytest.raises(UsageError, match="on a connection answering a call"):
        client.call("io.x.B", **{kind: True})
    owner, _ = pair()
    owner.call("io.x.B", **{kind: True})
    with pytest.raises(UsageError):
        owner.call("io.x.A")


def test_nothing_may_follow_a_more_call() -> None:
    call = b'{"method":"io.x.Watch","more":true}\0'
    _, server = pair()
    server.feed(call + b"{")
    with pytest.raises(ProtocolError, match="behind a 'more' call"):
        server.next_call()
    _, server = pair()
    take_call(server, call)
    with pytest.raises(ProtocolError, match="behind a 'more' call"):
        server.feed(b"{")
    with pytest.raises(ProtocolError, match="broken"):
        server.next_call()


def test_a_client_that_hangs_up_during_its_stream_is_noticed() -> None:
    client, server = pair()
    take_call(server, client.call("io.x.Watch", more=True))
    server.feed(b"")
    assert server.ended
    assert server.reply(continues=True)


def test_replies_must_keep_to_what_was_asked() -> None:
    client, server = pair()
    with pytest.raises(UsageError, match="a final reply can't be sent while idle"):
        server.reply()
    take_call(server, client.call("io.x.A"))
    with pytest.raises(UsageError, match="a reply that continues can't"):
        server.reply(continues=True)
    with pytest.raises(UsageError, match="at most 65536"):
        server.reply({"long": "x" * 65536})
    assert server.state == ANSWERING
    with pytest.raises(UsageError, match="not several"):
        client.call("io.x.A", more=True, oneway=True)


@pytest.mark.parametrize(
    ("more", "data"),
    [
        (False, b'{"continues":true}\0'),
        (False, b'{"parameters":{}}\0{'),
        (True, b'{"parameters":{}}\0{'),
        (False, b"\0"),
        (False, b"[]\0"),
        (True, b'{"continues":true,"error":"io.x.E"}\0'),
    ],
)
def test_a_reply_against_the_rules_breaks_the_connection(more: bool, data: bytes) -> None:
    client, _ = pair()
    client.call("io.x.A", more=more)
    client.feed(data)
    with pytest.raises(ProtocolError):
        client.next_reply()
    assert client.state == FAILED
    with pytest.raises(ProtocolError, match="broken"):
        client.next_reply()
    with pytest.raises(UsageError, match="broken"):
        client.call("io.x.B")


def test_a_reply_nobody_awaits() -> None:
    client, _ = pair()
    with pytest.raises(ProtocolError, match="answers no call"):
        client.feed(b"{", [6])
    assert client.take_fds() == [6]
    with pytest.raises(ProtocolError, match="broken"):
        client.feed(b"{", [7])
    assert client.take_fds() == [7]


@pytest.mark.parametrize("received", [b"", b'{"parameters"', b'{"continues":true}\0'])
def test_an_end_before_the_final_reply_is_never_a_success(received: bytes) -> None:
    client, _ = pair()
    client.call("io.x.Exec", more=True)
    if received:
        client.feed(received)
    client.feed(b"")
    if received.endswith(b"\0"):
        assert take_reply(client).continues
    with pytest.raises(ConnectionLost, match=r"before io\.x\.Exec was answered"):
        client.next_reply()
    assert client.state == FAILED


def test_an_end_after_the_final_reply_is_none() -> None:
    client, server = pair()
    take_call(server, client.call("io.x.A"))
    client.feed(server.reply())
    client.feed(b"")
    assert take_reply(client).error is None
    assert client.next_reply() is None
    assert client.ended


def test_a_server_answers_what_came_before_the_end() -> None:
    client, server = pair()
    server.feed(client.call("io.x.A"))
    server.feed(b"")
    take_call(server)
    assert server.reply()
    assert server.next_call() is None
    assert server.ended


def test_an_end_in_the_middle_of_a_call() -> None:
    _, server = pair()
    server.feed(b'{"method"')
    server.feed(b"")
    with pytest.raises(ProtocolError, match="in the middle"):
        server.next_call()


def test_descriptors_of_what_is_malformed_are_handed_back() -> None:
    client, server = pair()
    server.feed(b"{}\0", [4])
    with pytest.raises(ProtocolError, match="without a method"):
        server.next_call()
    assert server.take_fds() == [4]
    _, server = pair()
    server.feed(b'{"method":"io.x.Watch","more":true}\0', [4])
    server._framer.push(b"{")
    with pytest.raises(ProtocolError):
        server.next_call()
    assert server.take_fds() == [4]
    client.call("io.x.A")
    client.feed(b'{"parameters":7}\0', [5])
    with pytest.raises(ProtocolError):
        client.next_reply()
    assert client.take_fds() == [5]
    _, server = pair()
    with pytest.raises(ProtocolError):
        server.feed(b"{}\0{", [6])
    assert server.state == FAILED
    assert server.take_fds() == [6]


def test_an_overlong_message_breaks_the_connection() -> None:
    _, server = pair(limit=8)
    server.feed(b"x" * 9)
    with pytest.raises(ProtocolError, match="more than 8 bytes"):
        server.next_call()
    assert server.state == FAILED


@pytest.mark.parametrize("table", [SERVER, CLIENT])
def test_every_state_but_the_last_two_can_come_back_to_idle(
    table: dict[str, dict[str, str]],
) -> None:
    for state, events in table.items():
        assert set(events.values()) <= set(table)
        assert (state in (RAW, FAILED)) == (not events)
        assert state in (IDLE, RAW, FAILED) or IDLE in events.values()
