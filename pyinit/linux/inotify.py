"""Being told that something in a folder has changed (inotify(7))."""

from __future__ import annotations

import ctypes
import os
from types import TracebackType
from typing import Self

from pyinit.linux.libc import failed, libc

IN_MODIFY = 0x00000002
IN_MOVED_TO = 0x00000080
IN_CREATE = 0x00000100
IN_ONLYDIR = 0x01000000

libc.inotify_init1.argtypes = [ctypes.c_int]
libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]


class FolderWatch:
    """`fileno` turns readable when a file in the folder is written to, made or renamed.

    Raises OSError: ENOENT, EACCES, or EMFILE and ENOSPC where the user has too many.
    """

    def __init__(self, folder: str) -> None:
        self._descriptor: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise failed()
        mask = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR
        if libc.inotify_add_watch(self._descriptor, os.fsencode(folder), mask) < 0:
            error = failed(folder)
            self.close()
            raise error

    def fileno(self) -> int:
        return self._descriptor

    def clear(self) -> None:
        """From here on changes count as new. What they were does not matter."""
        try:
            while len(os.read(self._descriptor, 65536)) > 32768:
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
