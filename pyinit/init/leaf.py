"""One command's cgroup: what lives in it can be listed, frozen and ended as a whole."""

from __future__ import annotations

import os

from pyinit.linux.cgroups import Group, UnifiedGroup


class Leaf:
    """One command's cgroup, open until it is removed."""

    __slots__ = ("group", "name")

    def __init__(self, name: str, group: Group) -> None:
        self.name = name
        self.group = group

    @property
    def is_closed(self) -> bool:
        """Whether it was removed, which is when nobody is left."""
        return self.group.descriptor < 0

    def pids(self) -> list[int]:
        """All processes in it, without PID 1: on v1 a thread of it may be here."""
        own = os.getpid()
        return [] if self.is_closed else [pid for pid in self.group.all_pids() if pid != own]

    def is_empty(self) -> bool:
        """Whether nothing of the command is left."""
        if not self.is_closed and isinstance(self.group, UnifiedGroup):
            return not self.group.populated()
        return not self.pids()

    def kill(self) -> None:
        """SIGKILL to all of it; on v1 one that is being forked may be missed."""
        if not self.is_closed:
            self.group.kill()

    @property
    def clone_into(self) -> int | None:
        """The descriptor that a child is born into; None on v1, where a thread goes first."""
        return self.group.descriptor if isinstance(self.group, UnifiedGroup) else None
