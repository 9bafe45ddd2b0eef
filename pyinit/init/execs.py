"""Execs: commands that run on request, each in a session of its own, and their ends.

An exec lives from its spawn to the end of its command; what that leaves behind lives on. It
is ended, tree and all, when the client that owns it goes away, when its time is over, or on
request.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog
import trio

from pyinit.errors import CommandError, PyinitError
from pyinit.init.census import CensusTaker
from pyinit.init.command import Command
from pyinit.init.faults import unless_exhausted
from pyinit.init.leaves import Leaves
from pyinit.init.outputs import Budget, KeptOutput
from pyinit.init.processes import ProcessTable
from pyinit.init.reaper import Child
from pyinit.init.spawn import Spawner
from pyinit.init.tree import Tree, quietly
from pyinit.linux.process import give_way
from pyinit.spec.status import ExitStatus

# Ended execs that ListExecs and WaitExec still know.
KEPT = 256
# More than so many running at once are refused: each holds descriptors of PID 1.
MOST = 8192
# Between HUP, TERM and KILL when an exec is ended, in seconds.
GRACE = 2.0
# How often is looked whether a tree that is being ended has gone (seconds): first, at most.
LOOK_FIRST, LOOK_LAST = 0.002, 0.1
# A process that takes longer than this to die of KILL hangs in the kernel.
PATIENCE = 10.0

audit = structlog.get_logger("audit")


class Exec:
    """One command, its child and its tree. `master` is its pty's, where it has one.

    `has_gone`: it has ended, with its tree if that was being ended, or could not be started.
    """

    def __init__(
        self,
        identity: str,
        command: Command,
        given: Iterable[int],
        peer_uid: int | None,
        grace: float,
    ) -> None:
        self.id = identity
        self.command = command
        self._given = list(given)
        self.peer_uid = peer_uid
        self.grace = grace
        self.started = time.time()
        self.ended: float | None = None
        self.timed_out = False
        self.detached = False
        self.ending = False
        self.master: int | None = None
        self.output: KeptOutput | None = None
        self.child = Child()
        self._ended_whole = trio.Event()
        self.has_gone = False
        self._tell: Callable[[], None] | None = None
        # Whoever takes the one thing out of it writes the line: a thread, or the main one.
        self._unwritten = [self]

    @property
    def status(self) -> ExitStatus | None:
        return self.child.status

    async def wait(self) -> ExitStatus:
        """The command's own status, as soon as it has one; when it is ended, with its tree."""
        status = await self.child.wait()
        if self.ending:
            await self._ended_whole.wait()
        return status

    def tell_first(self, function: Callable[[], None]) -> None:
        """Have a function called as soon as `wait` would return, before anything else is done.

        At once if that has been; it may not raise.
        """
        if self.has_gone:
            function()
        else:
            self._tell = function

    def over(self) -> None:
        """The command has ended, or could not be started."""
        self.ended = time.time()
        if not self.ending or self.child.failure is not None:
            self._gone()
        self.close_given()
        if self.master is not None:
            os.close(self.master)
            self.master = None

    def tree_has_gone(self) -> None:
        """Of an exec that was being ended nothing is left."""
        self._gone()
        self._ended_whole.set()

    def _gone(self) -> None:
        self.has_gone = True
        if self._tell is not None:
            tell, self._tell = self._tell, None
            tell()
            give_way()  # to the client, before the books are kept

    def close_given(self) -> None:
        """Let go of what the command has by now, or its readers would see no end.

        From the spawning thread and from the main one: what one pops the other can't.
        """
        while self._given:
            with suppress(IndexError):
                os.close(self._given.pop())

    def forget_output(self) -> None:
        """What was kept has been collected, or there is no more room for it."""
        if self.output is not None:
            self.output.discard()
            self.output = None

    def write_begun(self) -> None:
        """The line for the audit log, once, from whatever thread comes first."""
        try:
            self._unwritten.pop()
        except IndexError:
            return
        audit.info(
            "exec begun",
            exec=self.id,
            argv=self.command.argv,
            user=self.command.user.name or self.command.user.uid,
            peer_uid=self.peer_uid,
            pid=self.child.pid,
        )

    def write_ended(self) -> None:
        """The line for the end, or for why it never ran."""
        if self.child.failure is not None:
            audit.info(
                "exec not started",
                exec=self.id,
                argv=self.command.argv,
                user=self.command.user.name or self.command.user.uid,
                peer_uid=self.peer_uid,
                reason=str(self.child.failure),
            )
            return
        self.write_begun()
        status = self.child.status
        assert status is not None
        audit.info(
            "exec ended",
            exec=self.id,
            code=status.code,
            signal=status.signal,
            timed_out=self.timed_out,
            seconds=round((self.ended or 0) - self.started, 3),
        )


class ExecTable:
    """Every exec that runs, and the last that ended. Tasks of its own run in `nursery`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        spawner: Spawner,
        table: ProcessTable,
        leaves: Leaves | None = None,
    ) -> None:
        self._nursery = nursery
        self._spawner = spawner
        self._taker = CensusTaker(table)
        self._leaves = leaves
        self._running: dict[str, Exec] = {}
        self._ended: OrderedDict[str, Exec] = OrderedDict()
        self._budget = Budget()
        self._numbers = itertools.count(1)
        # Called in the thread that has spawned the command.
        self.on_begin: Callable[[Exec], None] | None = None
        self.on_end: Callable[[Exec], None] | None = None

    def __len__(self) -> int:
        return len(self._running)

    def all(self) -> list[Exec]:
        """Ended ones first, each in the order of its start."""
        return [*self._ended.values(), *self._running.values()]

    def find(self, identity: str) -> Exec | None:
        return self._running.get(identity) or self._ended.get(identity)

    def is_taken(self, identity: str) -> bool:
        return identity in self._running or identity in self._ended

    def begin(
        self,
        command: Command,
        given: Iterable[int] = (),
        *,
        identity: str | None = None,
        peer_uid: int | None = None,
        timeout: float | None = None,
        grace: float | None = None,
    ) -> Exec:
        """Have the command started. Never blocks: its child tells how that goes.

        The descriptors `given` are closed once the command has them. `timeout` and `grace`
        are in seconds.
        """
        grace = GRACE if grace is None else grace
        exec_ = Exec(identity or self._fresh_id(), command, given, peer_uid, grace)
        self._running[exec_.id] = exec_
        exec_.child.call_when_over(lambda: self._over(exec_))
        self._spawner.begin(command, exec_.child, self._started(exec_))
        if timeout is not None:
            self._nursery.start_soon(self._end_in_time, exec_, timeout)
        return exec_

    def _started(self, exec_: Exec) -> Callable[[], None]:
        hook = self.on_begin

        def started() -> None:
            exec_.close_given()
            exec_.write_begun()
            if hook is not None:
                hook(exec_)

        return started

    def keep_output(self, exec_: Exec) -> KeptOutput:
        """From now on somebody may come for the exec's output."""
        exec_.output = KeptOutput(self._nursery, self._budget, exec_.id)
        return exec_.output

    def _fresh_id(self) -> str:
        while True:
            identity = str(next(self._numbers))
            if not self.is_taken(identity):
                return identity

    def _over(self, exec_: Exec) -> None:
        if exec_.child.failure is not None:
            self._failed(exec_)
            return
        exec_.over()
        exec_.write_ended()
        del self._running[exec_.id]
        if self._leaves is not None and exec_.child.leaf is not None and not exec_.ending:
            self._leaves.release(exec_.child.leaf)
        self._keep(exec_)
        if self.on_end is not None:
            self.on_end(exec_)

    def _failed(self, exec_: Exec) -> None:
        del self._running[exec_.id]
        exec_.write_ended()
        exec_.over()
        exec_.forget_output()

    def _keep(self, exec_: Exec) -> None:
        self._ended[exec_.id] = exec_
        while len(self._ended) > KEPT:
            _, forgotten = self._ended.popitem(last=False)
            forgotten.forget_output()

    async def _end_in_time(self, exec_: Exec, timeout: float) -> None:
        try:
            with trio.fail_after(timeout):
                await exec_.child.wait()
        except trio.TooSlowError:
            exec_.timed_out = True
            await self._end(exec_, (signal.SIGTERM,))
        except (PyinitError, OSError):
            return  # it never ran

    def end(self, exec_: Exec) -> None:
        """End the whole tree of an exec, in the background: HUP, TERM, KILL."""
        if exec_.status is None and exec_.child.failure is None:
            self._nursery.start_soon(self._end, exec_, (signal.SIGHUP, signal.SIGTERM))

    async def _end(self, exec_: Exec, steps: tuple[int, ...]) -> None:
        if exec_.ending:
            return
        exec_.ending = True
        try:
            await exec_.child.started()
        except (CommandError, PyinitError, OSError):
            return
        tree = Tree(exec_.child, self._taker)
        for number in steps:
            with unless_exhausted():  # then the next step does it, and KILL comes again and again
                tree.signal(number)
                # A stopped process acts on a signal only once it goes on.
                tree.signal(signal.SIGCONT)
            if await _gone_within(tree, exec_.grace):
                break
        else:
            await self._kill(exec_, tree)
        await exec_.child.wait()
        exec_.tree_has_gone()
        if self._leaves is not None and exec_.child.leaf is not None:
            self._leaves.release(exec_.child.leaf)

    async def _kill(self, exec_: Exec, tree: Tree) -> None:
        deadline = trio.current_time() + PATIENCE
        while True:
            # Again and again, for one that forked meanwhile.
            with unless_exhausted():
                tree.kill()
            if await _gone_within(tree, LOOK_LAST):
                return
            if trio.current_time() > deadline:
                with unless_exhausted():
                    audit.warning("processes outlive KILL", exec=exec_.id, pids=sorted(tree.pids()))
                deadline = float("inf")

    def signal(self, exec_: Exec, number: int) -> None:
        """Signal the command: of a terminal its foreground group. Nothing once it has ended."""
        if exec_.status is not None or not exec_.child.pid:
            return
        group = exec_.child.pid
        if exec_.master is not None:
            with suppress(OSError):  # nobody has the terminal open
                group = os.tcgetpgrp(exec_.master) or group
        quietly(os.killpg, group, number)

    def signal_tree(self, exec_: Exec, number: int) -> None:
        """Signal each process of the exec."""
        if exec_.child.pid:
            Tree(exec_.child, self._taker).signal(number)


async def _gone_within(tree: Tree, seconds: float) -> bool:
    """Whether the tree goes away in time. Nothing tells on v1, so it is looked, ever less often."""
    deadline = trio.current_time() + seconds
    pause = LOOK_FIRST
    while not tree.is_gone():
        left = deadline - trio.current_time()
        if left <= 0:
            return False
        await trio.sleep(min(pause, left))
        pause = min(pause * 2, LOOK_LAST)
    return True
