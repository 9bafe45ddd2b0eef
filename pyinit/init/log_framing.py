"""From the bytes that a command writes to the records of its log."""

from __future__ import annotations

from pyinit.spec.log_record import prefix

# containerd's and CRI-O's longest text of a record; what is longer goes on in the next one.
LONGEST = 16384


class Framer:
    """Cuts one stream into records. Keeps `longest` bytes at the most, whatever comes.

    How the stream was split into pieces makes no difference to the texts and tags.
    """

    __slots__ = ("_longest", "_rest", "stream")

    def __init__(self, stream: str, longest: int = LONGEST) -> None:
        self.stream = stream
        self._longest = longest
        self._rest = b""

    def feed(self, data: bytes, now: int) -> bytes:
        """The records that `data` completes, each with its newline. `now` in nanoseconds."""
        if self._rest:
            data = self._rest + data
        cut = data.rfind(b"\n")
        records = self._whole_lines(data[:cut], now) if cut >= 0 else b""
        tail, self._rest = self._parts(data[cut + 1 :], now)
        return records + tail

    def end(self, now: int) -> bytes:
        """What is left of a last line without a newline: a whole one, for nothing follows."""
        rest, self._rest = self._rest, b""
        return self._whole_lines(rest, now) if rest else b""

    def _whole_lines(self, lines: bytes, now: int) -> bytes:
        """Records of lines that are parted by newlines."""
        whole = prefix(now, self.stream)
        if len(lines) <= self._longest or max(map(len, lines.split(b"\n"))) <= self._longest:
            # The usual case is one replacement in C, whatever the number of lines.
            return whole + lines.replace(b"\n", b"\n" + whole) + b"\n"
        return b"".join(self._whole_line(line, now) for line in lines.split(b"\n"))

    def _whole_line(self, line: bytes, now: int) -> bytes:
        parts, rest = self._parts(line, now)
        return parts + prefix(now, self.stream) + rest + b"\n"

    def _parts(self, text: bytes, now: int) -> tuple[bytes, bytes]:
        """Records of parts of a line, while more than one fits; and what is left."""
        if len(text) <= self._longest:
            return b"", text
        head = prefix(now, self.stream, partial=True)
        records = []
        start = 0
        while len(text) - start > self._longest:
            records.append(b"%b%b\n" % (head, text[start : start + self._longest]))
            start += self._longest
        return b"".join(records), text[start:]


def portion(records: bytes, room: int) -> int:
    """How many bytes of `records` fit into `room` bytes, whole records only."""
    if len(records) <= room:
        return len(records)
    return records.rfind(b"\n", 0, max(room, 0)) + 1


def renames(name: str, count: int) -> list[tuple[str, str]]:
    """What becomes of the files of a log when it is rotated, in order; `count` is of all files.

    The last name's file is replaced. With one file only there is nothing to rename.
    """
    names = [name, *(f"{name}.{number}" for number in range(1, count))]
    return [(names[place], names[place + 1]) for place in reversed(range(count - 1))]
