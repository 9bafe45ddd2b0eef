"""The payload's cgroup leaves: one for each command and service, so that each ends whole.

Pausing freezes leaf by leaf, and not the payload's group: the threads that spawn are in
that group on v1, a leaf made while the rest is paused must run, and a child of a frozen
group would be born frozen, with posix_spawn waiting for it in the kernel.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from pyinit.errors import PyinitError, Unsupported
from pyinit.linux.cgroups import Group, PayloadGroups, UnifiedGroup, Watch, has_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# v1 tells nobody when a group comes to a stop or empties; only while one is awaited.
RECHECK_S = 0.005
FREEZE_LIMIT_S = 10.0
_V1_FILE = "freezer.state"


class NotFrozen(PyinitError):
    """A process did not come to a stop: it waits in the kernel and can't be interrupted."""


class Leaves:
    """Makes, freezes, kills and removes leaves in a payload's tracking group."""

    def __init__(self, groups: PayloadGroups) -> None:
        self._parent = groups.tracking
        self._leaves: dict[str, Group] = {}
        self._running: set[str] = set()

    def make(self, name: str) -> Group:
        """A new leaf, still empty. Raises OSError: EEXIST, EAGAIN, ENOSPC, EMFILE."""
        leaf = self._parent.make_child(name)
        self._leaves[name] = leaf
        return leaf

    def started(self, name: str) -> None:
        """Say that the spawn into the leaf is over: from now on it is frozen with the rest.

        Not before, for on v1 the thread that spawns is in the leaf itself then.
        """
        self._running.add(name)

    def names(self) -> list[str]:
        return list(self._leaves)

    def pids(self, name: str) -> list[int]:
        """Processes of the leaf and of groups that the payload made in it."""
        return self._leaves[name].all_pids()

    async def freeze(self, limit: float = FREEZE_LIMIT_S) -> None:
        """Stop everything that runs now.

        Raises Unsupported where no group can be frozen, NotFrozen with everything thawed again.
        """
        parent = self._parent
        if not isinstance(parent, UnifiedGroup) and not has_file(parent.descriptor, _V1_FILE):
            raise Unsupported("neither cgroup2 nor v1's freezer is mounted: stop it by signals")
        frozen = [self._leaves[name] for name in self._running]
        try:
            for leaf in frozen:
                leaf.freeze()
            with trio.fail_after(limit):
                for leaf in frozen:
                    await _until(leaf, leaf.frozen)
        except trio.TooSlowError:
            self.thaw()
            raise NotFrozen(f"a process did not stop within {limit:g} s: all go on") from None
        except BaseException:
            self.thaw()
            raise

    def thaw(self) -> None:
        """Let everything go on."""
        for leaf in self._leaves.values():
            leaf.thaw()

    async def end(self, name: str) -> None:
        """Kill all that is in the leaf, and remove it. Waits as long as a process does not die.

        A leaf that is gone is fine. Raises OSError.
        """
        leaf = self._leaves.pop(name, None)
        if leaf is None:
            return
        self._running.discard(name)
        try:
            await _until(leaf, lambda: _emptied(leaf))
            await _until(leaf, lambda: self._removed(name))
        except BaseException:
            self._leaves[name] = leaf
            raise
        leaf.close()

    def _removed(self, name: str) -> bool:
        try:
            self._parent.remove_tree(name)
        except OSError as error:
            if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
                raise
            return False
        return True


def _emptied(leaf: Group) -> bool:
    """Kill again as long as there is somebody: v1's kill can miss who is being forked."""
    if leaf.populated():
        leaf.kill()
    return not leaf.populated()


async def _until(leaf: Group, reached: Callable[[], bool]) -> None:
    async with _changes(leaf) as changed:
        while not reached():
            await changed()


@contextlib.asynccontextmanager
async def _changes(leaf: Group) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A function that waits until the leaf may have changed."""
    if not isinstance(leaf, UnifiedGroup):
        yield lambda: trio.sleep(RECHECK_S)
        return
    with Watch(leaf.descriptor, "cgroup.events") as watch:

        async def changed() -> None:
            with trio.move_on_after(1):  # who removes the group takes the events with it
                await trio.lowlevel.wait_readable(watch.fileno())
            watch.read()

        yield changed
