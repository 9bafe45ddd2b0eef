"""The payload's cgroup leaves: one for each command and service, so that each ends whole.

A leaf is made before its command is asked for, and removed once nobody lives there.
Commands may leave processes behind, and those stay: their leaf *lingers*, and is looked at
again when an orphan was reaped, for that is how its last process ends. No clock ticks.

Pausing freezes leaf by leaf, and not the payload's group: on v1 the threads that spawn are
each in a leaf of their own below it, and a frozen thread could hold what the others need.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import structlog
import trio

from pyinit.errors import PyinitError, Unsupported
from pyinit.init.faults import RETRY_S, is_exhaustion
from pyinit.init.leaf import Leaf
from pyinit.linux.cgroups import Group, LegacyGroup, PayloadGroups, UnifiedGroup, Watch, has_file

# v1 tells nobody when a group comes to a stop or empties; only while one is awaited.
RECHECK_S = 0.005
FREEZE_LIMIT_S = 10.0
# A leaf that was busy is tried again once after so long: the kernel takes a moment to let
# go of the last process, and many orphans in a row cost one look.
SETTLE_S = 0.05
_V1_FILE = "freezer.state"

log = structlog.get_logger("init")


class NotFrozen(PyinitError):
    """A process did not come to a stop: it waits in the kernel and can't be interrupted."""


class Leaves:
    """Every leaf in a payload's tracking group. `prepare` and `take` are for any thread."""

    def __init__(self, groups: PayloadGroups, nursery: trio.Nursery) -> None:
        self._groups = groups
        self._parent = groups.tracking
        self._nursery = nursery
        self._numbers = itertools.count(1)
        self._taken: set[Leaf] = set()
        self._lingering: set[Leaf] = set()
        self._will_look = False

    @property
    def unified(self) -> bool:
        """Whether a leaf is a cgroup v2, which only clone3 can start a child in."""
        return self._groups.unified

    def enter_payload(self) -> None:
        """For a spawning thread, first of all: be counted and limited as payload (v1)."""
        self._groups.attach_thread()

    def prepare(self) -> Leaf:
        """A fresh leaf for the calling thread's next command; on v1 the thread goes there.

        Raises OSError: EAGAIN, ENOSPC, EMFILE.
        """
        leaf = self.make(f"exec-{next(self._numbers)}")
        if isinstance(leaf.group, LegacyGroup):
            try:
                leaf.group.attach_thread()
            except OSError:
                leaf.group.close()
                self._parent.remove_child(leaf.name)
                raise
        return leaf

    def make(self, name: str) -> Leaf:
        """A new leaf, still empty. Raises OSError: EEXIST, EAGAIN, ENOSPC, EMFILE."""
        return Leaf(name, self._parent.make_child(name))

    def take(self, leaf: Leaf) -> None:
        """The leaf has a command in it, and no thread of ours: it is frozen with the rest."""
        self._taken.add(leaf)
        if leaf.is_closed:  # the command has ended already, and its leaf was removed
            self._taken.discard(leaf)

    def names(self) -> list[str]:
        """Of those that are taken."""
        return [leaf.name for leaf in list(self._taken)]

    def release(self, leaf: Leaf) -> None:
        """The command has ended: remove its leaf, now or when the last process has gone."""
        if not self._removed(leaf, self._parent.remove_child):
            self._lingering.add(leaf)
            self.look_again()

    def look_again(self) -> None:
        """A process has ended that may have been the last of its leaf."""
        if self._lingering and not self._will_look:
            self._will_look = True
            self._nursery.start_soon(self._look)

    async def _look(self) -> None:
        await trio.sleep(SETTLE_S)
        while self._is_to_be_tried_again():
            await trio.sleep(RETRY_S)
        self._will_look = False

    def _is_to_be_tried_again(self) -> bool:
        """Look at each once. Whether one may go in a moment: our own thread is about to leave it,
        or there was no descriptor to look with.
        """
        again = False
        for leaf in list(self._lingering):
            try:
                if not leaf.is_empty():
                    continue
                removed = self._removed(leaf, self._parent.remove_tree)
            except OSError as error:
                removed = not is_exhaustion(error)
                if removed:
                    log.warning("a cgroup was taken away", name=leaf.name, error=error.strerror)
            if removed:
                self._lingering.discard(leaf)
            again = again or not removed
        return again

    def _removed(self, leaf: Leaf, remove: Callable[[str], None]) -> bool:
        if not leaf.is_closed:
            try:
                remove(leaf.name)
            except OSError as error:
                if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
                    raise
                return False
            leaf.group.close()
        self._taken.discard(leaf)
        return True

    async def end(self, leaf: Leaf) -> None:
        """Kill all that is in the leaf, and remove it. Waits as long as a process does not die.

        A leaf that is gone is fine. Raises OSError.
        """
        await _until(leaf.group, lambda: _emptied(leaf))
        await _until(leaf.group, lambda: self._removed(leaf, self._parent.remove_tree))
        self._lingering.discard(leaf)

    async def freeze(self, limit: float = FREEZE_LIMIT_S) -> None:
        """Stop everything that runs now; what is frozen already stays that.

        A command whose thread has not left its leaf yet is not frozen. Raises Unsupported
        where no group can be frozen, NotFrozen with everything thawed again.
        """
        parent = self._parent
        if not isinstance(parent, UnifiedGroup) and not has_file(parent.descriptor, _V1_FILE):
            raise Unsupported("neither cgroup2 nor v1's freezer is mounted: stop it by signals")
        frozen = list(self._taken)
        try:
            for leaf in frozen:
                leaf.group.freeze()
            with trio.fail_after(limit):
                for leaf in frozen:
                    await _until(leaf.group, partial(_stopped, leaf))
        except trio.TooSlowError:
            self.thaw()
            raise NotFrozen(f"a process did not stop within {limit:g} s: all go on") from None
        except BaseException:
            self.thaw()
            raise

    def thaw(self) -> None:
        """Let everything go on."""
        for leaf in list(self._taken):
            if not leaf.is_closed:
                leaf.group.thaw()


def _stopped(leaf: Leaf) -> bool:
    return leaf.is_closed or leaf.group.frozen()


def _emptied(leaf: Leaf) -> bool:
    """Kill again as long as there is somebody: v1's kill can miss who is being forked."""
    if not leaf.is_empty():
        leaf.kill()
    return leaf.is_empty()


async def _until(group: Group, reached: Callable[[], bool]) -> None:
    while True:
        try:
            await _until_reached(group, reached)
        except OSError as error:
            if not is_exhaustion(error):
                raise
            await trio.sleep(RETRY_S)
        else:
            return


async def _until_reached(group: Group, reached: Callable[[], bool]) -> None:
    if reached():
        return
    async with _changes(group) as changed:
        while not reached():
            await changed()


@contextlib.asynccontextmanager
async def _changes(group: Group) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A function that waits until the group may have changed."""
    if not isinstance(group, UnifiedGroup):
        yield lambda: trio.sleep(RECHECK_S)
        return
    with Watch(group.descriptor, "cgroup.events") as watch:

        async def changed() -> None:
            with trio.move_on_after(1):  # who removes the group takes the events with it
                await trio.lowlevel.wait_readable(watch.fileno())
            watch.read()

        yield changed
