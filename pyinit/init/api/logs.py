"""Logs: what the commands of the container wrote last, and what they write."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from pyinit.init.container import Container
from pyinit.init.log_ring import LogRing
from pyinit.init.server import Method, Request
from pyinit.spec.log_record import STAMP

# Records of one reply. Each is 16 KiB at the most, a message 1 MiB; most are short.
BATCH_LINES, BATCH_BYTES = 1000, 128 << 10

# The log's name, and a record of it.
Found = tuple[str, bytes]


class LogLine(Struct, frozen=True):
    """The IDL's LogLine."""

    time: str
    service: str
    stream: str
    partial: bool
    text: str


class LogsCall(Struct, frozen=True, forbid_unknown_fields=True):
    services: list[str] | None = None
    lines: Annotated[int, Meta(ge=0)] | None = None
    follow: bool | None = None


class LogsReply(Struct, frozen=True):
    lines: list[LogLine]
    missed: int


class LogMethods:
    """Logs."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def methods(self) -> dict[str, Method]:
        return {"Logs": Method(LogsCall, self.logs)}

    async def logs(self, request: Request, call: LogsCall) -> None:
        reader = _Reader(self._container.logs.ring, call)
        if not request.more:
            await request.reply(_last_that_fit(*reader.take()))
            return
        with self._container.last_words.owed():
            await self._go_on(request, reader, follow=bool(call.follow))

    async def _go_on(self, request: Request, reader: _Reader, *, follow: bool) -> None:
        while True:
            ending = self._container.over.is_set()
            found, missed = reader.take()
            last = ending or not follow
            await self._send(request, found, missed, last=last)
            if last:
                return
            if not found:
                # Else there may be more by now: sending took its time.
                await self._container.logs.news()

    @staticmethod
    async def _send(request: Request, found: list[Found], missed: int, *, last: bool) -> None:
        while len(found) > (cut := fitting(found)):
            await request.reply(LogsReply(found_lines(found[:cut]), missed), continues=True)
            found, missed = found[cut:], 0
        if last:
            await request.reply(LogsReply(found_lines(found), missed))
        elif found or missed:
            await request.reply(LogsReply(found_lines(found), missed), continues=True)


class _Reader:
    """Goes through the wanted logs of a ring, from where the call wants them."""

    def __init__(self, ring: LogRing, call: LogsCall) -> None:
        self._ring = ring
        self._wanted = call.services
        self._positions = {
            service: ring.first(service)
            if call.lines is None
            else max(ring.end(service) - call.lines, ring.first(service))
            for service in ring.services()
        }

    def take(self) -> tuple[list[Found], int]:
        """What is new, in the order of time; and how many lines it came too late for."""
        found: list[Found] = []
        missed = 0
        for service in self._ring.services():
            if self._wanted is not None and service not in self._wanted:
                continue
            start = self._positions.get(service, 0)
            lines, self._positions[service], gone = self._ring.read(service, start)
            found += [(service, line) for line in lines]
            missed += gone
        # Times of one length and zone sort as text; what is of one time stays in its order.
        found.sort(key=lambda each: each[1][:STAMP])
        return found, missed


def fitting(found: list[Found]) -> int:
    """How many lines of these one reply takes: at least one, where there is one."""
    size = 0
    for count, (_, line) in enumerate(found[:BATCH_LINES]):
        size += len(line)
        if size > BATCH_BYTES and count:
            return count
    return min(len(found), BATCH_LINES)


def _last_that_fit(found: list[Found], missed: int) -> LogsReply:
    count = fitting(found[::-1])
    left_out = len(found) - count
    return LogsReply(found_lines(found[left_out:]), missed + left_out)


def found_lines(found: list[Found]) -> list[LogLine]:
    """Records of the ring as the IDL's LogLines."""
    return [_line(service, line) for service, line in found]


def _line(service: str, line: bytes) -> LogLine:
    moment, stream, tag, text = line.split(b" ", 3)
    return LogLine(
        moment.decode(),
        service,
        stream.decode(),
        tag == b"P",
        text.decode(errors="backslashreplace"),
    )
