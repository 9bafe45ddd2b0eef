"""One command of a service, and what its kill-mode reaches."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Protocol

import trio

from pyinit.init.followed import Followed
from pyinit.init.reaper import Child, Reaper
from pyinit.init.tree import Tree, quietly
from pyinit.spec.service import KillMode
from pyinit.spec.status import ExitStatus

# How often is looked whether what belongs to a service has gone (seconds): first, at most,
# and once it has outlived KILL for so long that it hangs in the kernel.
LOOK_FIRST, LOOK_LAST, LOOK_STUCK = 0.002, 0.1, 1.0
STUCK_AFTER = 10.0


class SessionTree(Tree):
    """A tree whose session counts after its leader's end as well.

    It is asked from the end on until nothing is left, and as long as anybody is in a session
    its number is not given away.
    """

    def _owns_session(self) -> bool:
        return True


class Reach(Protocol):
    """What a kill-mode reaches."""

    def is_gone(self) -> bool: ...

    def signal(self, number: int) -> None: ...

    def kill(self) -> None: ...


class ProcessGroup:
    """Who is in the command's process group."""

    def __init__(self, group: int) -> None:
        self._group = group
        self._gone = False

    def is_gone(self) -> bool:
        if not self._gone:
            try:
                os.killpg(self._group, 0)
            except ProcessLookupError:
                self._gone = True
        return self._gone

    def signal(self, number: int) -> None:
        if not self._gone:
            quietly(os.killpg, self._group, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)


class MainAlone:
    """The main process, which has been waited for when anybody asks whether it is gone."""

    def __init__(self, main: Child | Followed) -> None:
        self._main = main

    def is_gone(self) -> bool:
        return self._main.status is not None

    def signal(self, number: int) -> None:
        if self._main.status is None:
            quietly(os.kill, self._main.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)


class ServiceProcess:
    """A `ports.Process`. `release` is called once nothing more is wanted of its leaf."""

    def __init__(
        self,
        main: Child | Followed,
        tree: Tree,
        kill_mode: KillMode,
        reaper: Reaper,
        release: Callable[[], None],
    ) -> None:
        self._main = main
        self._tree = tree
        self._kill_mode = kill_mode
        self._reach = _reach(main, tree, kill_mode)
        self._reaper = reaper
        self._release = release
        self._killing = False

    @property
    def pid(self) -> int:
        return self._main.pid

    async def wait(self) -> ExitStatus:
        """The main process's status, once it has ended."""
        return await self._main.wait()

    async def gone(self) -> None:
        """Return when the main process has ended and nothing that the kill-mode reaches is left."""
        pause, since = LOOK_FIRST, trio.current_time()
        # What was read a moment ago may not show a child of the last moment.
        await trio.sleep(0 if self._tree.in_cgroup else LOOK_FIRST)
        while not self._reach.is_gone():
            if self._killing:
                self._reach.kill()
            await trio.sleep(pause)
            stuck = trio.current_time() > since + STUCK_AFTER
            pause = min(pause * 2, LOOK_STUCK if stuck else LOOK_LAST)
        self._release()

    def signal(self, number: int) -> None:
        """Signal the main process. Nothing happens when it has ended."""
        if self._main.status is None:
            quietly(os.kill, self.pid, number)

    def signal_tree(self, number: int) -> None:
        """Signal all that the kill-mode reaches."""
        self._reach.signal(number)

    def kill_all(self) -> None:
        """KILL all that the kill-mode reaches; `gone` does so again while anything is left."""
        self._killing = True
        self._reach.kill()

    def owns(self, pid: int) -> bool:
        """Whether the process was started by the service, whatever the kill-mode."""
        return pid in self._tree.pids()

    def follow(self, pid: int) -> ServiceProcess:
        """The same with `pid` as the main process. Raises OSError where there is none."""
        return ServiceProcess(
            Followed(pid, self._reaper), self._tree, self._kill_mode, self._reaper, self._release
        )


def _reach(main: Child | Followed, tree: Tree, kill_mode: KillMode) -> Reach:
    match kill_mode:
        case "group":
            return ProcessGroup(_group_of(main))
        case "process":
            return MainAlone(main)
    return tree


def _group_of(main: Child | Followed) -> int:
    """A command of ours leads a session, and so a group; another process may have any."""
    return main.pid if isinstance(main, Child) else os.getpgid(main.pid)
