"""Where lines come from: the files in the container's folder, or its init.

Each source gives batches of lines, in the order of time as far as a batch goes; the first
ones are the past, and with `follow` what is written until the container ends comes behind.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from pyinit.errors import NotFound, ProtocolError
from pyinit.spec.log_record import parse_time
from pyinit_ctl import records
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.logs import files
from pyinit_ctl.logs.changes import Changes
from pyinit_ctl.logs.files import ServiceLog
from pyinit_ctl.logs.line import Line
from pyinit_ctl.registry import Target


class Wanted(Struct, frozen=True):
    """Which lines: of these services or all, the last so many of each, and of what times."""

    services: tuple[str, ...] = ()
    last: int | None = None
    since: int | None = None
    until: int | None = None
    follow: bool = False

    def within(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Those of the times that are wanted."""
        for line in lines:
            if (self.since is None or line.time >= self.since) and (
                self.until is None or line.time <= self.until
            ):
                yield line


class FileSource:
    """The files of a container's folder."""

    def __init__(self, target: Target, folder: str) -> None:
        self._target = target
        self._folder = folder
        self._logs: dict[str, ServiceLog] = {}

    def names(self) -> list[str]:
        """The logs that there are. Raises OSError."""
        return files.services(self._folder)

    @property
    def gaps(self) -> int:
        return sum(log.gaps for log in self._logs.values())

    def batches(self, wanted: Wanted) -> Iterator[Iterable[Line]]:
        """Raises NotFound for a service that has no log."""
        self._require(wanted.services)
        # Watched before the first look, or what comes between the two would be lost.
        changes = self._changes() if wanted.follow else None
        past = [
            log.past(last=wanted.last, since=wanted.since, until=wanted.until)
            for log in self._find(wanted)
        ]
        yield heapq.merge(*past, key=lambda line: line.time)
        if changes is None:
            return
        with changes:
            lives = True
            while lives:
                lives = changes.wait()
                news = [line for log in self._find(wanted) for line in log.new()]
                yield sorted(news, key=lambda line: line.time)

    def _find(self, wanted: Wanted) -> list[ServiceLog]:
        """The wanted logs; those that have come into being since the last time too."""
        for name in self.names():
            if name not in self._logs and (not wanted.services or name in wanted.services):
                self._logs[name] = ServiceLog(self._folder, name)
        return list(self._logs.values())

    def _require(self, services: tuple[str, ...]) -> None:
        names = self.names()
        for service in services:
            if service not in names:
                raise NotFound(
                    f"{self._target} has no log of a service {service!r}: "
                    f"there is {', '.join(names) or 'none'}"
                )

    def _changes(self) -> Changes | None:
        pidfd = records.open_process(records.read_state(self._target))
        return None if pidfd is None else Changes(self._folder, pidfd)


class SocketSource:
    """What init remembers, by its control socket."""

    def __init__(self, client: BlockingClient) -> None:
        self._client = client
        self.gaps = 0

    def batches(self, wanted: Wanted) -> Iterator[Iterable[Line]]:
        parameters: dict[str, Any] = {
            "services": list(wanted.services) or None,
            "lines": wanted.last,
            "follow": wanted.follow or None,
        }
        for reply in self._client.stream("Logs", **parameters):
            self.gaps += bool(reply.get("missed"))
            yield wanted.within([read_line(each) for each in reply.get("lines") or ()])


def read_line(fields: Any) -> Line:
    """The IDL's LogLine as it came. Raises ProtocolError."""
    if isinstance(fields, dict):
        moment = parse_time(str(fields.get("time")))
        stream, text = fields.get("stream"), fields.get("text")
        if moment is not None and stream in ("stdout", "stderr") and isinstance(text, str):
            partial = fields.get("partial") is True
            return Line(moment, str(fields.get("service")), stream, partial, text.encode())
    raise ProtocolError("the container's answer has a line of a log that is none")
