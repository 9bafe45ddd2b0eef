"""Lines as they are printed, and the times that people give."""

from __future__ import annotations

import io
import json
from datetime import datetime

import pytest

from pyinit.errors import ProtocolError, UsageError
from pyinit_ctl.logs.line import Line
from pyinit_ctl.logs.moments import moment
from pyinit_ctl.logs.show import JsonPrinter, Printer
from pyinit_ctl.logs.source import Wanted, read_line


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def line(text: bytes, service: str = "web", stream: str = "stdout", partial: bool = False) -> Line:
    return Line(1_500_000_000, service, stream, partial, text)


def test_each_line_goes_to_the_stream_it_was_written_to() -> None:
    stdout, stderr = io.BytesIO(), io.BytesIO()
    Printer(stdout, stderr).show([line(b"out"), line(b"err", stream="stderr"), line(b"\x1b")])
    assert stdout.getvalue() == b"out\n\x1b\n"
    assert stderr.getvalue() == b"err\n"


def test_names_and_times_come_before_lines_and_not_before_their_parts() -> None:
    stdout = io.BytesIO()
    printer = Printer(stdout, io.BytesIO(), names=True, times=True)
    printer.show([line(b"be", partial=True), line(b"gun")])
    assert stdout.getvalue() == b"1970-01-01T00:00:01.500000000Z [web] begun\n"


def test_a_line_between_the_parts_of_another_stands_by_itself() -> None:
    both = io.BytesIO()
    printer = Printer(both, both, names=True)
    printer.show(
        [line(b"a", partial=True), line(b"x", "db"), line(b"b", partial=True), line(b"y", "db")]
    )
    printer.show([line(b"end", partial=True)])
    printer.finish()
    printer.finish()
    assert both.getvalue().split(b"\n") == [
        b"[web] a", b"[db] x", b"[web] b", b"[db] y", b"[web] end", b""
    ]  # fmt: skip


def test_a_line_that_goes_elsewhere_does_not_end_one_that_was_begun() -> None:
    lines = [line(b"a", partial=True), line(b"x", stream="stderr"), line(b"b")]
    stdout, stderr = io.BytesIO(), io.BytesIO()
    Printer(stdout, stderr).show(lines)
    assert (stdout.getvalue(), stderr.getvalue()) == (b"ab\n", b"x\n")
    terminal = Terminal()
    Printer(terminal, terminal).show(lines)
    assert terminal.getvalue() == b"a\nx\nb\n"


def test_a_terminal_gets_nothing_that_it_would_act_upon() -> None:
    terminal, file = Terminal(), io.BytesIO()
    printer = Printer(terminal, file)
    printer.show([line(b"\x1b[2J\ta\xffb\r"), line(b"\x1b[2J", stream="stderr")])
    assert terminal.getvalue() == b"\\x1b[2J\ta\\xffb\\r\n"
    assert file.getvalue() == b"\x1b[2J\n"


def test_json_lines() -> None:
    stdout = io.BytesIO()
    printer = JsonPrinter(stdout)
    printer.show([line(b"a\xff", partial=True)])
    printer.finish()
    assert json.loads(stdout.getvalue()) == {
        "time": "1970-01-01T00:00:01.500000000Z",
        "service": "web",
        "stream": "stdout",
        "partial": True,
        "text": "a\\xff",
    }


NOW = 1_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", NOW - 600 * 10**9),
        ("1h30m", NOW - 5400 * 10**9),
        ("12", 12 * 10**9),
        ("12.5", 12_500_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2026-11-22", int(datetime(2026, 11, 22).timestamp()) * 10**9),  # noqa: DTZ001
        ("2026-11-22 17:00", int(datetime(2026, 11, 22, 17).timestamp()) * 10**9),  # noqa: DTZ001
    ],
)
def test_times_as_people_give_them(text: str, expected: int) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "10x", "2026-13-01"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        moment(text, NOW)


def test_what_is_wanted_of_the_times() -> None:
    lines = [Line(time, "web", "stdout", False, b"") for time in range(5)]
    assert [each.time for each in Wanted(since=1, until=3).within(lines)] == [1, 2, 3]
    assert list(Wanted().within(lines)) == lines


def test_a_line_as_init_tells_of_it() -> None:
    fields = {"time": "1970-01-01T00:00:00Z", "service": "web", "stream": "stderr",
              "partial": True, "text": "ä"}  # fmt: skip
    assert read_line(fields) == Line(0, "web", "stderr", True, "ä".encode())
    for name, bad in [("time", "now"), ("stream", "stdin"), ("text", 5)]:
        with pytest.raises(ProtocolError):
            read_line(fields | {name: bad})
    with pytest.raises(ProtocolError):
        read_line("text")
