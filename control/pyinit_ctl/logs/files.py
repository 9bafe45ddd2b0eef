"""A container's logs in the files of its folder, across rotation.

Init writes `NAME.log`, and renames it to NAME.log.1 when it is full, that to NAME.log.2, and
so on. Files are opened newest first: what is renamed meanwhile is then met a second time,
and known by its inode, where the other way round it would be missed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import takewhile

from pyinit.spec.log_record import parse
from pyinit_ctl.logs.backward import backward, end_of_lines
from pyinit_ctl.logs.line import Line

_FILE = re.compile(r"(.+)\.log(?:\.(\d+))?\Z")
# init's own log, which is none of a command's.
_OWN = "init"
_CHUNK = 1 << 18


def services(folder: str) -> list[str]:
    """The names of the logs in a folder, sorted. Raises OSError."""
    found = (_FILE.match(name) for name in os.listdir(folder))
    return sorted({match[1] for match in found if match is not None} - {_OWN})


class _File:
    """One file of a log, open, and how far it was read."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        status = os.fstat(descriptor)
        self.identity = (status.st_dev, status.st_ino)
        self.end = end_of_lines(descriptor, status.st_size)
        self.position = 0

    def forward(self, end: int | None = None) -> Iterator[bytes]:
        """Whole lines from the position on, which goes along."""
        while end is None or self.position < end:
            most = _CHUNK if end is None else min(_CHUNK, end - self.position)
            data = os.pread(self.descriptor, most, self.position)
            cut = data.rfind(b"\n") + 1
            if not cut:
                return
            self.position += cut
            yield from data[: cut - 1].split(b"\n")

    def backward(self) -> Iterator[bytes]:
        """What was there when it was opened, the last line first."""
        self.position = self.end
        return backward(self.descriptor, self.end)

    def close(self) -> None:
        os.close(self.descriptor)


class ServiceLog:
    """The log of one service. `gaps` counts the times that lines were gone before they could
    be read."""

    def __init__(self, folder: str, service: str) -> None:
        self._folder = folder
        self._service = service
        self._newest: _File | None = None
        self.gaps = 0

    def close(self) -> None:
        if self._newest is not None:
            self._newest.close()

    def past(
        self, *, last: int | None = None, since: int | None = None, until: int | None = None
    ) -> Iterator[Line]:
        """What there is by now, oldest first: all, or of these times the last so many lines.

        Call it once, and go through it before `new`.
        """
        files = self._open()
        if files:
            self._newest = files[0]
        try:
            if last is None and since is None:
                yield from (line for line in self._forward(files) if not _after(line, until))
            else:
                found = self._backward(files, last, since, until)
                yield from reversed(list(found))
        finally:
            for file in files[1:]:
                file.close()

    def _forward(self, files: list[_File]) -> Iterator[Line]:
        for file in reversed(files):
            yield from self._records(file.forward(file.end))

    def _backward(
        self, files: list[_File], last: int | None, since: int | None, until: int | None
    ) -> Iterator[Line]:
        left = last
        for file in files:
            for line in self._records(file.backward()):
                if since is not None and line.time < since:
                    return
                if _after(line, until):
                    continue
                if left is not None and not line.partial:
                    left -= 1
                    if left < 0:
                        return
                yield line

    def new(self) -> Iterator[Line]:
        """What was written since the last look."""
        while True:
            if self._newest is not None:
                yield from self._records(self._newest.forward())
            newer = self._newer()
            if not newer:
                return
            if self._newest is not None:
                # Nothing is written to it any more, but something was before it was renamed.
                yield from self._records(self._newest.forward())
                self._newest.close()
            *between, self._newest = reversed(newer)
            for file in between:
                yield from self._records(file.forward())
                file.close()

    def _newer(self) -> list[_File]:
        """The files that came after the newest one that is known, newest first."""
        if self._newest is not None and self._identity() in (self._newest.identity, None):
            return []
        files = self._open()
        if self._newest is None:
            return files
        known = self._newest.identity
        newer = list(takewhile(lambda file: file.identity != known, files))
        if len(newer) == len(files):
            self.gaps += 1
        for file in files[len(newer) :]:
            file.close()
        return newer

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(f"{self._folder}/{self._service}.log")
        except FileNotFoundError:
            return None  # in the middle of a rotation
        return status.st_dev, status.st_ino

    def _open(self) -> list[_File]:
        """Every file of the log, newest first. Raises OSError."""
        found: dict[tuple[int, int], _File] = {}
        for name in self._names():
            try:
                descriptor = os.open(
                    f"{self._folder}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
                )
            except FileNotFoundError:
                continue
            file = _File(descriptor)
            if file.identity in found:
                file.close()
            else:
                found[file.identity] = file
        return list(found.values())

    def _names(self) -> list[str]:
        matches = (_FILE.match(name) for name in os.listdir(self._folder))
        numbers = [int(m[2] or 0) for m in matches if m is not None and m[1] == self._service]
        # One more: a rotation may come between this look and the opening.
        highest = max(numbers, default=-1) + 1
        base = f"{self._service}.log"
        return [base, *(f"{base}.{number}" for number in range(1, highest + 1))]

    def _records(self, lines: Iterator[bytes]) -> Iterator[Line]:
        for text in lines:
            record = parse(text)
            if record is not None:
                yield Line(record.time, self._service, record.stream, record.partial, record.text)


def _after(line: Line, until: int | None) -> bool:
    return until is not None and line.time > until
