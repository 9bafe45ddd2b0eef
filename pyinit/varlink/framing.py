"""From a stream of bytes and descriptors to messages.

Rules
-----
1. A message is one or more bytes other than NUL, at most `limit` of them, then a NUL.
2. A sender hands a message over by one sendmsg, its descriptors with the first byte, and
   never while an earlier message of its own may still be unread: it has none behind which
   the descriptors could hide.
3. So descriptors are taken only with a chunk that starts a message and does not go past
   that message's end; there may be at most `max_fds` of them. In any other place it can't
   be told whose they are, and the connection is given up.

Why rule 3 is enough: a write is queued as one or more socket buffers, the descriptors on the
first (unix_stream_sendmsg in net/unix/af_unix.c). A read hands them out with the first byte
that it takes of that buffer, and ends with that buffer at the latest, but it may have begun
in earlier buffers, which carried none. Whoever keeps rule 2 has no earlier buffers, so the
read starts with the message's first byte, however short the read is; and what is written
afterwards is never in the same chunk.
"""

from __future__ import annotations

from pyinit.errors import ProtocolError

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence

MESSAGE_LIMIT = 1 << 20
"""Bytes of a message that either side of io.pyinit.Control takes."""

MAX_FDS = 16
"""Descriptors with one message that either side takes (the kernel's own cap is 253)."""


class Frame:
    """One message: its bytes without the NUL, and the descriptors that came with it."""

    __slots__ = ("data", "fds")

    def __init__(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        self.data = data
        self.fds = fds

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frame):
            return NotImplemented
        return self.data == other.data and self.fds == other.fds

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Frame({self.data!r}, {self.fds!r})"


class Framer:
    """Cuts what is received into messages; does no I/O, so it closes no descriptor either.

    After a ProtocolError the owner closes what `take_fds` returns and drops the connection.
    Between a `push` and the `pull`s the Framer holds at most `limit` bytes and one chunk.
    """

    __slots__ = ("_buffer", "_fds", "_scanned", "limit", "max_fds")

    def __init__(self, limit: int = MESSAGE_LIMIT, max_fds: int = MAX_FDS) -> None:
        self.limit = limit
        self.max_fds = max_fds
        self._buffer = bytearray()
        self._scanned = 0  # so many bytes of the buffer are known to hold no NUL
        self._fds: list[int] = []  # they belong to the message at the start of the buffer

    @property
    def waiting(self) -> int:
        """Bytes received and not yet pulled, whole messages or not."""
        return len(self._buffer)

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> list[Frame]:
        """All messages that are whole once `data` has come. Raises ProtocolError."""
        self.push(data, fds)
        frames: list[Frame] = []
        try:
            while (frame := self.pull()) is not None:
                frames.append(frame)
        except ProtocolError:
            for frame in frames:
                self._fds.extend(frame.fds)
            raise
        return frames

    def push(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Take in what one recvmsg gave. Raises ProtocolError, with `fds` held all the same."""
        fresh = not self._buffer
        if fds:
            self._fds.extend(fds)
            self._check_fds(data, len(fds), fresh)
        if len(self._buffer) > self.limit:
            raise ProtocolError(
                f"more than {self.limit} bytes of messages wait for their turn; send fewer at once"
            )
        self._buffer += data

    def pull(self) -> Frame | None:
        """The next whole message, or None. Raises ProtocolError if it is empty or too long."""
        end = self._buffer.find(0, self._scanned)
        if end < 0:
            self._scanned = len(self._buffer)
            self._check_length(self._scanned)
            return None
        self._check_length(end)
        if end == 0:
            raise ProtocolError("an empty message; each message is one JSON object")
        frame = Frame(bytes(self._buffer[:end]), tuple(self._fds))
        del self._buffer[: end + 1]
        self._scanned = 0
        self._fds.clear()
        return frame

    def take_fds(self) -> list[int]:
        """The descriptors not yet handed out with a message; they are the caller's now."""
        held, self._fds = self._fds, []
        return held

    def take_rest(self) -> bytes:
        """The bytes not yet handed out, for a connection that leaves Varlink behind."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        self._scanned = 0
        return rest

    def _check_fds(self, data: bytes, count: int, fresh: bool) -> None:
        if count > self.max_fds:
            raise ProtocolError(f"{count} descriptors with a message; at most {self.max_fds} go")
        if not data or not fresh or data.find(0) not in (-1, len(data) - 1):
            raise ProtocolError(
                "descriptors behind another message; send them with the first byte of a message "
                "of their own, once all before it is answered"
            )

    def _check_length(self, length: int) -> None:
        if length > self.limit:
            raise ProtocolError(f"a message of more than {self.limit} bytes; send a shorter one")
