"""Logs as files in a folder that was opened before the pivot, rotated by size.

Every call here may block for as long as the disk does: they run in the writer's thread.
"""

from __future__ import annotations

import os
from contextlib import suppress

from pyinit.init.log_framing import portion, renames

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


def file_name(service: str) -> str:
    """The newest file of a service's log; older ones have .1, .2 and so on behind it."""
    return f"{service}.log"


class LogFolder:
    """Writes records to `NAME.log`; a full file becomes NAME.log.1, up to `count` files.

    `folder` is a descriptor; `size` the bytes of a file at the most. `limits` are size and
    count of logs that have their own.
    """

    def __init__(self, folder: int, size: int, count: int) -> None:
        self._folder = folder
        self._size = size
        self._count = count
        self.limits: dict[str, tuple[int, int]] = {}
        self._files: dict[str, _File] = {}

    def write(self, service: str, records: bytes) -> tuple[bytes, str]:
        """Append whole records. Returns those that could not be written, and why."""
        try:
            while records:
                records = self._write_some(service, records)
        except OSError as error:
            return records, error.strerror or str(error)
        return b"", ""

    def _write_some(self, service: str, records: bytes) -> bytes:
        file = self._files.get(service) or self._open(service)
        size, _ = self._limits(service)
        cut = portion(records, size - file.size)
        if not cut and file.size:
            self._rotate(service)
            return records
        # A record that is longer than a file may be has a file of its own.
        cut = cut or records.index(b"\n") + 1
        file.append(records[:cut])
        return records[cut:]

    def _limits(self, service: str) -> tuple[int, int]:
        return self.limits.get(service, (self._size, self._count))

    def _open(self, service: str) -> _File:
        descriptor = os.open(file_name(service), _FLAGS, 0o600, dir_fd=self._folder)
        self._files[service] = file = _File(descriptor)
        return file

    def _rotate(self, service: str) -> None:
        name = file_name(service)
        _, count = self._limits(service)
        if count == 1:
            # A new file rather than an empty one: who follows it sees that it is another.
            os.unlink(name, dir_fd=self._folder)
        for old, new in renames(name, count):
            with suppress(FileNotFoundError):
                os.rename(old, new, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._files.pop(service).close()

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


class _File:
    """The newest file of a log."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def append(self, records: bytes) -> None:
        """Write all of it, or nothing and raise OSError."""
        view = memoryview(records)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            if len(view) < len(records):
                # Half a record would spoil the next one; to cut needs no room.
                with suppress(OSError):
                    os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(records)

    def close(self) -> None:
        os.close(self._descriptor)
