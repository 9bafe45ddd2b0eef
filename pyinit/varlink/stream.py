"""An exec over one plain stream of bytes: frames, without I/O. docs/reference/stream.md.

Rules
-----
1. A frame is its kind (1 byte), the length of its payload (4 bytes, big-endian), the payload
   of at most 65,536 bytes.
2. The client sends STDIN, RESIZE and SIGNAL; the server STDOUT, STDERR, CREDIT, EXIT, ERROR.
   An empty STDIN, STDOUT or STDERR is the end of that stream; nothing of it follows.
3. STDIN takes credit: INITIAL_CREDIT bytes to begin with, and what each CREDIT adds. So a
   command that reads nothing can't hold up RESIZE and SIGNAL, which need none.
4. The server's last frame is EXIT or ERROR. A stream that ends without it was cut off, and
   the outcome is unknown.
5. Whatever is against these rules is a ProtocolError, and the stream is of no more use.

Loaded by the exec client: it imports nothing but the errors.
"""

from __future__ import annotations

from pyinit.errors import ConnectionLost, ProtocolError, UsageError

STDIN = 0
STDOUT = 1
STDERR = 2
RESIZE = 3
SIGNAL = 4
CREDIT = 5
EXIT = 6
ERROR = 7

PAYLOAD_LIMIT = 1 << 16
INITIAL_CREDIT = 1 << 16
MAX_CREDIT = (1 << 31) - 1

_HEADER = 5
_TO_SERVER = (STDIN, RESIZE, SIGNAL)
_TO_CLIENT = (STDOUT, STDERR, CREDIT, EXIT, ERROR)
_FINAL = (EXIT, ERROR)


def encode(kind: int, payload: bytes = b"") -> bytes:
    """One frame. Raises UsageError for a payload that is too long."""
    if len(payload) > PAYLOAD_LIMIT:
        raise UsageError(f"a frame of {len(payload)} bytes; at most {PAYLOAD_LIMIT} go in one")
    return bytes((kind,)) + len(payload).to_bytes(4, "big") + payload


def encode_size(rows: int, columns: int) -> bytes:
    """A RESIZE frame: rows and columns, two bytes each."""
    return encode(RESIZE, _two(rows) + _two(columns))


def encode_credit(count: int) -> bytes:
    """A CREDIT frame: so many more bytes of STDIN may be sent."""
    return encode(CREDIT, count.to_bytes(4, "big"))


def decode_size(payload: bytes) -> tuple[int, int]:
    """Rows and columns of a RESIZE frame. Raises ProtocolError."""
    if len(payload) != 4:
        raise ProtocolError("a size that is not four bytes long")
    return int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:], "big")


def decode_credit(payload: bytes) -> int:
    """The bytes that a CREDIT frame grants. Raises ProtocolError."""
    count = int.from_bytes(payload, "big")
    if len(payload) != 4 or not 0 < count <= MAX_CREDIT:
        raise ProtocolError("a credit that is none")
    return count


def decode_signal(payload: bytes) -> str:
    """The name or number in a SIGNAL frame. Raises ProtocolError."""
    if not 0 < len(payload) <= 16 or not payload.isascii():
        raise ProtocolError("a signal that is neither a name nor a number")
    return payload.decode()


class _Reader:
    """Cuts what is received into frames, and holds them to the rules."""

    __slots__ = ("_buffer", "_closed", "_expected", "over")

    def __init__(self, expected: tuple[int, ...]) -> None:
        self._buffer = bytearray()
        self._expected = expected
        self._closed: set[int] = set()
        self.over = False
        """The last frame has come."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames, kind and payload, that are whole once `data` has come.

        Raises ProtocolError. At most one frame's bytes are kept between calls.
        """
        self._buffer += data
        frames: list[tuple[int, bytes]] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def end(self) -> None:
        """The stream has ended. Raises ConnectionLost if that was in the middle of a frame."""
        if self._buffer:
            raise ConnectionLost("the stream ended in the middle of a frame")

    def _next(self) -> tuple[int, bytes] | None:
        if self.over and self._buffer:
            raise ProtocolError("a frame behind the last one")
        if self._buffer and self._buffer[0] not in self._expected:
            raise ProtocolError(f"a frame of kind {self._buffer[0]}, which this side gets none of")
        if len(self._buffer) < _HEADER:
            return None
        kind, length = self._buffer[0], int.from_bytes(self._buffer[1:_HEADER], "big")
        if length > PAYLOAD_LIMIT:
            raise ProtocolError(f"a frame of {length} bytes; at most {PAYLOAD_LIMIT} go in one")
        if len(self._buffer) < _HEADER + length:
            return None
        payload = bytes(self._buffer[_HEADER : _HEADER + length])
        del self._buffer[: _HEADER + length]
        self._check(kind, payload)
        return kind, payload

    def _check(self, kind: int, payload: bytes) -> None:
        if kind in (STDIN, STDOUT, STDERR):
            if kind in self._closed:
                raise ProtocolError("a frame of a stream that has ended")
            if not payload:
                self._closed.add(kind)
        self.over = kind in _FINAL


class ServerStream(_Reader):
    """The side that runs the command: what the client sends, within its credit."""

    __slots__ = ("_credit",)

    def __init__(self) -> None:
        super().__init__(_TO_SERVER)
        self._credit = INITIAL_CREDIT

    def grant(self, count: int) -> bytes:
        """The CREDIT frame to send once `count` bytes of STDIN have been passed on."""
        self._credit += count
        return encode_credit(count)

    def _check(self, kind: int, payload: bytes) -> None:
        super()._check(kind, payload)
        if kind == STDIN:
            self._credit -= len(payload)
            if self._credit < 0:
                raise ProtocolError("more standard input than there is credit for")


class ClientStream(_Reader):
    """The side that asked for the command. `credit`: bytes of STDIN that may be sent now."""

    __slots__ = ("credit",)

    def __init__(self) -> None:
        super().__init__(_TO_CLIENT)
        self.credit = INITIAL_CREDIT

    def stdin(self, data: bytes) -> bytes:
        """A STDIN frame, paid from the credit; of no data: the end. Raises UsageError."""
        if len(data) > self.credit:
            raise UsageError(f"{len(data)} bytes of input; the credit is {self.credit}")
        self.credit -= len(data)
        return encode(STDIN, data)

    def end(self) -> None:
        """The stream has ended. Raises ConnectionLost unless the last frame had come."""
        super().end()
        if not self.over:
            raise ConnectionLost(
                "the stream ended before the command; whether it goes on is unknown"
            )

    def _check(self, kind: int, payload: bytes) -> None:
        super()._check(kind, payload)
        if kind == CREDIT:
            self.credit += decode_credit(payload)
            if self.credit > MAX_CREDIT:
                raise ProtocolError("more credit than can be")


def _two(number: int) -> bytes:
    return min(max(number, 0), 0xFFFF).to_bytes(2, "big")
