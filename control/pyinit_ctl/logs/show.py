"""Lines of logs on their way to whoever asked for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import BinaryIO

from pyinit.spec.log_record import stamp
from pyinit_ctl.logs.line import Line
from pyinit_ctl.printable import printable


class Printer:
    """Prints lines, each to the stream that it was written to.

    Parts of a line are put together again, unless another line comes between them. With
    `names` each line has its service before it, with `times` its time. What goes to a
    terminal has nothing in it that a terminal acts upon.
    """

    def __init__(
        self, stdout: BinaryIO, stderr: BinaryIO, *, names: bool = False, times: bool = False
    ) -> None:
        self._streams = {"stdout": stdout, "stderr": stderr}
        self._names = names
        self._times = times
        self._clean: dict[str, Callable[[bytes], bytes]] = {
            name: clean if stream.isatty() else _as_it_is for name, stream in self._streams.items()
        }
        # Two terminals are taken for one.
        self._places = {
            name: "terminal" if stream.isatty() else name for name, stream in self._streams.items()
        }
        # Of each place the service and stream whose line is not at its end there.
        self._unfinished: dict[str, tuple[str, str]] = {}

    def show(self, lines: Iterable[Line]) -> None:
        """Print, and let nothing stay in a buffer."""
        last = None
        for line in lines:
            if last not in (None, line.stream):
                # Two streams often lead to one terminal: what came first stands first.
                self._streams[str(last)].flush()
            last = line.stream
            self._show(line)
        if last is not None:
            self._streams[last].flush()

    def _show(self, line: Line) -> None:
        stream, place = self._streams[line.stream], self._places[line.stream]
        source = (line.service, line.stream)
        if self._unfinished.get(place) != source:
            self._finish(place)
            stream.write(self._head(line))
        stream.write(self._clean[line.stream](line.text))
        if line.partial:
            self._unfinished[place] = source
        else:
            stream.write(b"\n")
            self._unfinished.pop(place, None)

    def _head(self, line: Line) -> bytes:
        time = stamp(line.time) + b" " if self._times else b""
        return time + f"[{line.service}] ".encode() if self._names else time

    def finish(self) -> None:
        """End the lines that were begun."""
        for place in list(self._unfinished):
            self._finish(place)

    def _finish(self, place: str) -> None:
        source = self._unfinished.pop(place, None)
        if source is not None:
            self._streams[source[1]].write(b"\n")
            self._streams[source[1]].flush()


class JsonPrinter:
    """Prints a JSON object for each line or part of one."""

    def __init__(self, stdout: BinaryIO) -> None:
        self._stdout = stdout

    def show(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self._stdout.write(json.dumps(as_object(line)).encode() + b"\n")
        self._stdout.flush()

    def finish(self) -> None:
        """Every object is whole."""


def as_object(line: Line) -> dict[str, object]:
    """The line as `--json` has it; bytes that are no UTF-8 as \\xNN."""
    return {
        "time": stamp(line.time).decode(),
        "service": line.service,
        "stream": line.stream,
        "partial": line.partial,
        "text": line.text.decode(errors="backslashreplace"),
    }


def clean(text: bytes) -> bytes:
    """Text that a terminal does not act upon; tabs stay."""
    parts = text.decode(errors="backslashreplace").split("\t")
    return "\t".join(printable(part, len(part)) for part in parts).encode()


def _as_it_is(text: bytes) -> bytes:
    return text
