"""Being told that the kernel killed for want of memory in a group.

v2 notifies on memory.events; v1 by an eventfd registered in cgroup.event_control
(cgroup-v1/memory.rst, section 10). Both come down to a descriptor that turns readable.
"""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Self

from .cgroups import Group, UnifiedGroup, Watch, write_at


class OomWatch:
    """`fileno` turns readable when memory ran out; `count` then says how many were killed.

    Readable does not mean that somebody was killed: v1 tells before the kernel chooses,
    v2 of every event of memory. So compare counts. Raises OSError: ENOENT where the group
    has no memory controller.
    """

    def __init__(self, group: Group) -> None:
        self._watch: Watch | None = None
        self._event = self._control = -1
        if isinstance(group, UnifiedGroup):
            self._watch = Watch(group.descriptor, "memory.events")
        else:
            self._register(group.descriptor)

    def _register(self, directory: int) -> None:
        self._control = os.open("memory.oom_control", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
        try:
            self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            write_at(directory, "cgroup.event_control", f"{self._event} {self._control}")
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._event if self._watch is None else self._watch.fileno()

    def count(self) -> int:
        """Processes killed so far in the group (v2: and below). Makes `fileno` quiet again."""
        if self._watch is not None:
            return _killed(self._watch.read())
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
        return _killed(os.pread(self._control, 4096, 0).decode())

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        for descriptor in (self._event, self._control):
            if descriptor >= 0:
                os.close(descriptor)
        self._event = self._control = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _killed(text: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "oom_kill":
            return int(value)
    return 0
