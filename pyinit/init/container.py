"""The container as PID 1 holds it: everything that the methods and the main task share."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog
import trio

from pyinit.errors import Unsupported
from pyinit.init.command import Environment
from pyinit.init.config import InitConfig
from pyinit.init.events import Events, ended, shortened
from pyinit.init.execs import ExecTable
from pyinit.init.faults import ShuttingDown
from pyinit.init.last_words import LastWords
from pyinit.init.leaves import Leaves
from pyinit.init.logs import MAIN, Logs
from pyinit.init.processes import ProcessTable
from pyinit.init.reaper import Child, Reaper
from pyinit.init.spawn import Spawner
from pyinit.init.stats import StatsReader
from pyinit.init.supervisor import Supervisor
from pyinit.init.terminal import TerminalFactory
from pyinit.init.users import User, UserDatabase, login_environment
from pyinit.spec.status import ExitStatus

MOST_ENVIRONMENTS = 64
_NOTHING: Mapping[str, str] = MappingProxyType({})

log = structlog.get_logger("init")


@dataclass(slots=True, kw_only=True)
class Container:
    """Parts and state. `state` is starting, running, paused or stopping.

    `failure` is the status for a command that could not be started.
    `deadline` is when the present stage of the end is over that began at `stage_began`, and
    `limit` when, by trio's clock, all that is to end is killed, whatever its own grace.
    """

    config: InitConfig
    reaper: Reaper
    spawner: Spawner
    execs: ExecTable
    table: ProcessTable
    stats: StatsReader
    users: UserDatabase
    terminals: TerminalFactory
    devnull: int
    events: Events
    logs: Logs
    leaves: Leaves | None = None
    started: float = field(default_factory=time.time)
    started_monotonic: float = field(default_factory=time.monotonic)
    state: str = "starting"
    main: Child | None = None
    status: ExitStatus | None = None
    failure: ExitStatus | None = None
    grace: float = 0.0
    limit: float = math.inf
    deadline: float = math.inf
    stage_began: float = 0.0
    supervisor: Supervisor | None = None
    services_over: trio.Event = field(default_factory=trio.Event)
    end_requested: trio.Event = field(default_factory=trio.Event)
    freezing: trio.Lock = field(default_factory=trio.Lock)
    hurry: trio.Event = field(default_factory=trio.Event)
    over: trio.Event = field(default_factory=trio.Event)
    last_words: LastWords = field(default_factory=LastWords)
    _environments: dict[User, Environment] = field(default_factory=dict)

    def require_running(self) -> None:
        """Raise ShuttingDown once the container is on its way down."""
        if self.state == "stopping":
            raise ShuttingDown("the container is shutting down")

    def request_end(self, grace: float | None = None) -> None:
        """Begin the end of the container; a second request takes away the grace.

        The main command's end is the first, also where nobody has had the time to act on it.
        """
        ended = self.main is not None and self.main.status is not None
        if ended or self.end_requested.is_set() or self.state == "stopping":
            self.hurry.set()
            return
        if grace is not None:
            self.grace = grace
            self.limit = trio.current_time() + grace
        self.end_requested.set()
        self.tell_stage("asked")

    def tell_started(self) -> None:
        """The main command runs."""
        main = self.main
        assert main is not None
        argv = shortened(self.config.command)
        self.events.tell("started", MAIN, {"pid": main.pid, "argv": argv})

    async def tell_main_end(self) -> None:
        """Wait for the main command's end, for the events."""
        if self.main is not None:
            self.events.tell("exited", MAIN, ended(await self.main.wait()))

    def tell_stage(self, stage: str) -> None:
        """How far the end of the container has come: asked, services, main, terminate, kill."""
        self.events.tell("shutdown", details={"stage": stage})

    def tell_oom(self, killed: int) -> None:
        """Memory ran out, and the kernel chose so many processes."""
        log.warning("killed for want of memory", processes=killed)
        self.events.tell("oom", details={"killed": killed})

    def conclude(self, status: ExitStatus) -> None:
        """Nothing is left but PID 1: let go of everybody who waits for that."""
        self.status = status
        self.over.set()
        self.events.tell("ended", details=ended(status))
        self.events.wake()
        self.logs.wake()

    def begin_stage(self) -> float:
        """The next part of the end begins: when those are killed that it asks to end."""
        self.stage_began = trio.current_time()
        self.deadline = min(self.stage_began + self.grace, self.limit)
        return self.deadline

    async def freeze(self) -> None:
        """Stop everything that runs now but PID 1, until `thaw`. A command that is started while
        it is paused runs: another freeze stops it as well.

        Raises Unsupported without a cgroup, NotFrozen with everything going on again.
        """
        leaves = self._leaves()
        async with self.freezing:
            self.require_running()
            before, self.state = self.state, "paused"
            try:
                await self.spawner.settled()
            except BaseException:
                self.state = before
                raise
            try:
                await leaves.freeze()
            except BaseException:
                self.state = "running"
                raise

    async def thaw(self) -> None:
        """Let everything go on. Raises Unsupported without a cgroup."""
        leaves = self._leaves()
        async with self.freezing:
            leaves.thaw()
            if self.state == "paused":
                self.state = "running"

    def require_thawed(self) -> None:
        """Raise ShuttingDown, or Unsupported: services depend on others, which are frozen."""
        self.require_running()
        if self.state == "paused":
            raise Unsupported("the container is paused: unpause it first")

    def _leaves(self) -> Leaves:
        if self.leaves is None:
            raise Unsupported("the container has no cgroup: run it where cgroups can be made")
        return self.leaves

    def environment(
        self, user: User, terminal: str | None = None, more: Mapping[str, str] = _NOTHING
    ) -> Environment:
        """What a command of the user's has; one and the same for all that add nothing."""
        if terminal is None and not more:
            found = self._environments.get(user)
            if found is None:
                if len(self._environments) >= MOST_ENVIRONMENTS:
                    self._environments.clear()
                found = Environment({**login_environment(user), **self.config.environment})
                self._environments[user] = found
            return found
        return Environment({**login_environment(user, terminal), **self.config.environment, **more})


def hostname() -> str:
    """The name of this UTS namespace."""
    return os.uname().nodename
