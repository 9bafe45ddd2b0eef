"""Execs: commands that run on request, each in a session of its own, and their ends.

An exec lives from its spawn to the end of its tree. It is ended, tree and all, when the
client that owns it goes away, when its time is over, or on request.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
import trio

from pyinit.init.command import Command
from pyinit.init.processes import ProcessTable
from pyinit.init.reaper import Child
from pyinit.init.spawn import Spawner
from pyinit.spec.status import ExitStatus

# Ended execs that ListExecs and WaitExec still know.
KEPT = 256
# Between HUP, TERM and KILL when an exec is ended, in seconds.
GRACE = 2.0

audit = structlog.get_logger("audit")


class Exec:
    """One command, its child and its tree."""

    def __init__(self, identity: str, command: Command, child: Child, peer_uid: int | None) -> None:
        self.id = identity
        self.command = command
        self.child = child
        self.peer_uid = peer_uid
        self.started = time.time()
        self.ended: float | None = None
        self.timed_out = False
        self.detached = False
        self.ending = False
        self._over = trio.Event()

    @property
    def status(self) -> ExitStatus | None:
        return self.child.status

    async def wait(self) -> ExitStatus:
        """The command's own status, as soon as it has one."""
        return await self.child.wait()

    def finish(self) -> None:
        self.ended = time.time()
        self._over.set()


class ExecTable:
    """Every exec that runs, and the last that ended. Tasks of its own run in `nursery`."""

    def __init__(self, nursery: trio.Nursery, spawner: Spawner, table: ProcessTable) -> None:
        self._nursery = nursery
        self._spawner = spawner
        self._table = table
        self._running: dict[str, Exec] = {}
        self._ended: OrderedDict[str, Exec] = OrderedDict()
        self._numbers = itertools.count(1)
        self.on_begin: Callable[[Exec], None] = _nobody
        self.on_end: Callable[[Exec], None] = _nobody

    def __len__(self) -> int:
        return len(self._running)

    def all(self) -> list[Exec]:
        """Ended ones first, each in the order of its start."""
        return [*self._ended.values(), *self._running.values()]

    def find(self, identity: str) -> Exec | None:
        return self._running.get(identity) or self._ended.get(identity)

    def is_taken(self, identity: str) -> bool:
        return identity in self._running or identity in self._ended

    async def start(
        self,
        command: Command,
        *,
        identity: str | None = None,
        peer_uid: int | None = None,
        timeout: float | None = None,
        grace: float = GRACE,
    ) -> Exec:
        """Spawn the command. Raises what `Spawner.spawn` raises."""
        child = await self._spawner.spawn(command)
        exec_ = Exec(identity or self._fresh_id(), command, child, peer_uid)
        self._running[exec_.id] = exec_
        audit.info(
            "exec begun",
            exec=exec_.id,
            argv=command.argv,
            user=command.user.name or command.user.uid,
            peer_uid=peer_uid,
            pid=child.pid,
        )
        self.on_begin(exec_)
        self._nursery.start_soon(self._watch, exec_, timeout, grace)
        return exec_

    def _fresh_id(self) -> str:
        while True:
            identity = str(next(self._numbers))
            if not self.is_taken(identity):
                return identity

    async def _watch(self, exec_: Exec, timeout: float | None, grace: float) -> None:
        with trio.move_on_after(timeout if timeout is not None else float("inf")) as scope:
            await exec_.wait()
        if scope.cancelled_caught:
            exec_.timed_out = True
            await self._end_tree(exec_, grace, hang_up=False)
            await exec_.wait()
        self._finish(exec_)

    def _finish(self, exec_: Exec) -> None:
        status = exec_.status
        assert status is not None
        exec_.finish()
        audit.info(
            "exec ended",
            exec=exec_.id,
            code=status.code,
            signal=status.signal,
            timed_out=exec_.timed_out,
            seconds=round((exec_.ended or 0) - exec_.started, 3),
        )
        del self._running[exec_.id]
        self._ended[exec_.id] = exec_
        while len(self._ended) > KEPT:
            self._ended.popitem(last=False)
        self.on_end(exec_)

    def end(self, exec_: Exec, grace: float = GRACE) -> None:
        """End the whole tree of an exec, in the background: HUP, TERM, KILL."""
        if not exec_.ending and exec_.status is None:
            exec_.ending = True
            self._nursery.start_soon(self._end_tree, exec_, grace)

    async def _end_tree(self, exec_: Exec, grace: float, *, hang_up: bool = True) -> None:
        steps = (signal.SIGHUP, signal.SIGTERM) if hang_up else (signal.SIGTERM,)
        for number in steps:
            self.signal_tree(exec_, number)
            self.signal_tree(exec_, signal.SIGCONT)
            with trio.move_on_after(grace):
                await exec_.wait()
                break
        self.signal_tree(exec_, signal.SIGKILL)

    def signal(self, exec_: Exec, number: int) -> None:
        """Signal the command's process group. Nothing once it has ended."""
        if exec_.status is None:
            _quietly(os.killpg, exec_.child.pid, number)

    def signal_tree(self, exec_: Exec, number: int) -> None:
        """Signal each process of the exec."""
        for pid in self._table.tree(exec_.child.pid):
            _quietly(os.kill, pid, number)


def _nobody(_exec: Exec) -> None:
    """What happens when nobody asked to hear of it."""


def _quietly(send: Callable[[int, int], None], target: int, number: int) -> None:
    try:
        send(target, number)
    except ProcessLookupError:
        return
