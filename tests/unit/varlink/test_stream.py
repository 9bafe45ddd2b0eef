from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import ConnectionLost, ProtocolError, UsageError
from pyinit.varlink import stream
from pyinit.varlink.stream import (
    CREDIT,
    ERROR,
    EXIT,
    INITIAL_CREDIT,
    MAX_CREDIT,
    PAYLOAD_LIMIT,
    RESIZE,
    SIGNAL,
    STDERR,
    STDIN,
    STDOUT,
    ClientStream,
    ServerStream,
    encode,
)

outputs = st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(min_size=1, max_size=40))


def split(data: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(st.lists(outputs), st.lists(st.integers(0, 10_000)))
def test_any_split_gives_the_same_frames(
    frames: list[tuple[int, bytes]], places: list[int]
) -> None:
    frames = [*frames, (EXIT, b"{}")]
    data = b"".join(encode(kind, payload) for kind, payload in frames)
    client = ClientStream()
    assert [frame for part in split(data, places) for frame in client.feed(part)] == frames
    client.end()


@given(st.sampled_from([ClientStream, ServerStream]), st.lists(st.binary(max_size=30)))
def test_no_bytes_raise_anything_else(
    kind: type[ClientStream | ServerStream], parts: list[bytes]
) -> None:
    reader = kind()
    try:
        for part in parts:
            for frame_kind, payload in reader.feed(part):
                decoded = {RESIZE: stream.decode_size, SIGNAL: stream.decode_signal}
                decoded.get(frame_kind, bytes)(payload)
        reader.end()
    except (ProtocolError, ConnectionLost):
        return


@pytest.mark.parametrize("kind", [STDIN, RESIZE, SIGNAL, 8, 255])
def test_kinds_that_a_client_gets_none_of(kind: int) -> None:
    with pytest.raises(ProtocolError, match=f"kind {kind}"):
        ClientStream().feed(bytes((kind,)))


@pytest.mark.parametrize("kind", [STDOUT, STDERR, CREDIT, EXIT, ERROR, 8])
def test_kinds_that_a_server_gets_none_of(kind: int) -> None:
    with pytest.raises(ProtocolError, match=f"kind {kind}"):
        ServerStream().feed(bytes((kind,)))


def test_a_payload_that_is_too_long_is_refused_by_its_header() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        ClientStream().feed(bytes((STDOUT,)) + (PAYLOAD_LIMIT + 1).to_bytes(4, "big"))
    with pytest.raises(UsageError):
        encode(STDOUT, b"x" * (PAYLOAD_LIMIT + 1))


def test_nothing_follows_the_end_of_a_stream() -> None:
    client = ClientStream()
    assert client.feed(encode(STDOUT) + encode(STDERR, b"x")) == [(STDOUT, b""), (STDERR, b"x")]
    with pytest.raises(ProtocolError, match="has ended"):
        client.feed(encode(STDOUT, b"x"))


@pytest.mark.parametrize("last", [EXIT, ERROR])
def test_nothing_follows_the_last_frame(last: int) -> None:
    client = ClientStream()
    client.feed(encode(last, b"{}"))
    assert client.over
    client.end()
    with pytest.raises(ProtocolError, match="behind the last"):
        client.feed(b"\1")


@pytest.mark.parametrize("data", [b"", encode(STDOUT, b"x"), b"\1\0", encode(EXIT, b"{}")[:-1]])
def test_a_stream_that_is_cut_off_is_no_success(data: bytes) -> None:
    client = ClientStream()
    client.feed(data)
    with pytest.raises(ConnectionLost):
        client.end()


def test_a_client_may_leave_between_frames() -> None:
    server = ServerStream()
    server.feed(encode(SIGNAL, b"TERM"))
    server.end()
    server.feed(b"\4")
    with pytest.raises(ConnectionLost):
        server.end()


def test_credit() -> None:
    client, server = ClientStream(), ServerStream()
    first = client.stdin(b"x" * INITIAL_CREDIT)
    with pytest.raises(UsageError):
        client.stdin(b"y")
    assert server.feed(first) == [(STDIN, b"x" * INITIAL_CREDIT)]
    client.feed(server.grant(3))
    assert client.credit == 3
    assert server.feed(client.stdin(b"abc") + client.stdin(b"")) == [(STDIN, b"abc"), (STDIN, b"")]


def test_input_beyond_the_credit() -> None:
    server = ServerStream()
    server.feed(encode(STDIN, b"x" * INITIAL_CREDIT))
    with pytest.raises(ProtocolError, match="credit"):
        server.feed(encode(STDIN, b"y"))


@pytest.mark.parametrize("payload", [b"", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1\0"])
def test_credit_that_is_none(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        ClientStream().feed(encode(CREDIT, payload))


def test_credit_beyond_counting() -> None:
    client = ClientStream()
    with pytest.raises(ProtocolError, match="more credit"):
        client.feed(stream.encode_credit(MAX_CREDIT))


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_sizes(rows: int, columns: int) -> None:
    [(kind, payload)] = ServerStream().feed(stream.encode_size(rows, columns))
    assert (kind, stream.decode_size(payload)) == (RESIZE, (rows, columns))


def test_sizes_that_do_not_fit() -> None:
    assert stream.decode_size(stream.encode_size(-1, 70_000)[5:]) == (0, 0xFFFF)
    with pytest.raises(ProtocolError):
        stream.decode_size(b"123")


def test_signals() -> None:
    assert stream.decode_signal(b"RTMIN+3") == "RTMIN+3"
    for bad in (b"", b"\xff", b"x" * 17):
        with pytest.raises(ProtocolError):
            stream.decode_signal(bad)
