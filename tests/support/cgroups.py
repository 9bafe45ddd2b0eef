"""Real processes in a container's cgroups: the same cases for v1, hybrid and v2.

A class of cases is subclassed where it runs: tests/system/cgroup on this machine's own
hierarchies, tests/vm in a kernel with cgroup v2. All is made under `…/pyinit/<name>`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from pyinit.container import cgroup
from pyinit.container.cgroup import ContainerCgroup
from pyinit.container.cgroup.discovery import Hierarchy, discover
from pyinit.errors import InUse, UsageError
from pyinit.init.leaves import Leaves
from pyinit.linux.cgroup_oom import OomWatch
from pyinit.linux.cgroup_stats import UsageReader
from pyinit.linux.cgroups import Group, LegacyGroup
from pyinit.linux.namespaces import CLONE_NEWCGROUP, unshare
from pyinit.spec.limits import Limits

PATIENCE_S = 20.0
GATE = "import os, sys; os.read(0, 1)\n"


def eventually(condition: Callable[[], object]) -> bool:
    """Whether `condition` comes true within the test's patience; for what has no event."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@dataclass
class Started:
    """A Python program held at its gate until it is in its groups."""

    process: subprocess.Popen[str]

    @classmethod
    def of(cls, program: str) -> Started:
        text = GATE + textwrap.dedent(program)
        command = [sys.executable, "-I", "-S", "-c", text]
        pipe = subprocess.PIPE
        return cls(subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe))

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("x")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, question: str) -> str:
        """A line sent and the line that comes back."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        return self.line()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@dataclass
class Case:
    """What a test makes, and where it is taken back."""

    name: str
    hierarchies: Sequence[Hierarchy]
    stack: contextlib.ExitStack
    init: Started = field(init=False)

    def create(self, **limits: Any) -> ContainerCgroup:
        return cgroup.create(
            self.stack, self.name, limits=Limits(**limits), hierarchies=self.hierarchies
        )

    def make(self, **limits: Any) -> ContainerCgroup:
        """Groups with an init in them that holds 100 MB and waits for its end."""
        made = self.create(**limits)
        self.init = Started.of(
            "held = bytearray(100 << 20); print(len(held), flush=True); sys.stdin.read()"
        )
        self.stack.callback(self.init.end)
        made.attach_init(self.init.process.pid)
        self.init.go()
        assert self.init.line() == str(100 << 20)
        return made

    def leaf(self, made: ContainerCgroup, name: str = "main") -> Group:
        return self.stack.enter_context(made.payload().tracking.make_child(name))

    def start(self, made: ContainerCgroup, leaf: Group, program: str) -> Started:
        """Start a program in the payload, in its `leaf`."""
        one = Started.of(program)
        self.stack.callback(one.end)
        for group in made.payload().legacy():
            group.attach(one.process.pid)
        leaf.attach(one.process.pid)
        one.go()
        return one


class CgroupCases:
    """`hierarchies` chooses what of this machine is used."""

    @staticmethod
    def hierarchies() -> list[Hierarchy]:
        return discover()

    @pytest.fixture
    def case(self) -> Iterator[Case]:
        name = f"pyinit-test-{os.getpid()}"
        with contextlib.ExitStack() as stack:
            yield Case(name, self.hierarchies(), stack)
        assert name not in cgroup.leftovers()

    def test_pids_cap_a_fork_bomb(self, case: Case) -> None:
        made = case.make(pids=32)
        bomb = case.start(
            made,
            case.leaf(made),
            """
            import signal
            made = 0
            try:
                while True:
                    if os.fork() == 0:
                        signal.pause()
                    made += 1
            except BlockingIOError:
                print(made, flush=True)
            signal.pause()
            """,
        )
        assert bomb.line() == "31"
        with UsageReader.of(made.payload()) as reader:
            usage = reader.read()
        assert (usage.pids, usage.pids_limit) == (32, 32)

    def test_memory_cap_kills_payload_and_not_init(self, case: Case) -> None:
        made = case.make(memory=64 << 20, memory_swap=64 << 20)
        with OomWatch(made.payload().controllers["memory"]) as watch:
            assert watch.count() == 0
            eater = case.start(made, case.leaf(made), "held = bytearray(128 << 20)")
            assert eater.process.wait(PATIENCE_S) == -signal.SIGKILL
            assert readable(watch)
            assert eventually(lambda: watch.count() == 1)
            assert not readable(watch, 0)
        with UsageReader.of(made.payload()) as reader:
            usage = reader.read()
        assert usage.oom_kills == 1
        assert usage.memory_limit == 64 << 20
        assert usage.memory is not None
        assert usage.memory < 64 << 20
        assert case.init.process.poll() is None

    def test_limits_change_while_it_runs(self, case: Case) -> None:
        made = case.make(memory=64 << 20, pids=32, cpus=0.5, cpu_weight=50)
        made.apply(Limits(memory=96 << 20, pids=-1))
        again = cgroup.reopen(case.name, made.paths)
        again.apply(Limits(cpus=2.0))
        again.close()
        with UsageReader.of(made.payload()) as reader:
            usage = reader.read()
        assert (usage.memory_limit, usage.pids_limit) == (96 << 20, None)
        made.apply(Limits(memory=32 << 20))
        made.apply(Limits(memory=-1))
        with UsageReader.of(made.payload()) as reader:
            assert reader.read().memory_limit is None

    def test_cpu_time_is_counted_and_capped(self, case: Case) -> None:
        made = case.make(cpus=0.1)
        case.start(made, case.leaf(made), "\nwhile True: pass")
        with UsageReader.of(made.payload()) as reader:
            assert eventually(lambda: (reader.read().throttled or 0) >= 2)
            usage = reader.read()
        assert usage.cpu_us
        assert usage.throttled_us
        assert usage.user_us is not None

    def test_freeze_and_thaw(self, case: Case) -> None:
        made = case.make()
        main, other = case.leaf(made), case.leaf(made, "exec-1")
        echo = case.start(made, main, "\nfor line in sys.stdin: print(line, end='', flush=True)")
        assert echo.process.stdin is not None
        main.freeze()
        assert main.wait_until("frozen", PATIENCE_S)
        assert not other.frozen()
        # Another leaf goes on working while one is frozen.
        free = case.start(made, other, "print('free', flush=True)")
        assert free.line() == "free"
        echo.process.stdin.write("hello\n")
        echo.process.stdin.flush()
        assert main.frozen()
        main.thaw()
        assert echo.line() == "hello"
        assert not main.frozen()

    def test_a_frozen_leaf_can_be_killed(self, case: Case) -> None:
        made = case.make()
        main = case.leaf(made)
        one = case.start(made, main, "print('up', flush=True); sys.stdin.read()")
        assert one.line() == "up"
        main.freeze()
        assert main.wait_until("frozen", PATIENCE_S)
        main.kill()
        assert one.process.wait(PATIENCE_S) == -signal.SIGKILL

    TREE = """
        import signal
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.setsid()
                print(os.getpid(), flush=True)
                signal.pause()
            os._exit(0)
        os.wait()
        signal.pause()
        """

    def test_kill_reaches_who_called_setsid(self, case: Case) -> None:
        made = case.make()
        main, other = case.leaf(made), case.leaf(made, "exec-1")
        spared = case.start(made, other, "print('up', flush=True); sys.stdin.read()")
        tree = case.start(made, main, self.TREE)
        daemon = int(tree.line())
        spared.line()
        # The one between the two may not have been reaped yet.
        assert {tree.process.pid, daemon} <= set(main.pids())
        assert main.populated()

        def emptied() -> bool:
            main.kill()
            return main.wait_until("empty", 0.1)

        assert eventually(emptied)
        assert main.pids() == []
        assert spared.process.poll() is None
        made.payload().tracking.remove_child("main")
        assert made.payload().tracking.children() == ["exec-1"]

    def test_removal_ends_what_is_left(self, case: Case) -> None:
        made = case.make()
        tree = case.start(made, case.leaf(made), self.TREE)
        assert tree.line()
        assert set(cgroup.leftovers()[case.name]) == set(made.paths)
        cgroup.remove(case.name, made.paths)
        assert tree.process.wait(PATIENCE_S) == -signal.SIGKILL
        assert case.name not in cgroup.leftovers()
        assert not any(map(os.path.exists, made.paths))
        cgroup.remove(case.name, made.paths)

    def test_one_name_once(self, case: Case) -> None:
        made = case.make()
        with pytest.raises(InUse, match="exists"):
            case.make()
        assert all(map(os.path.exists, made.paths))

    def test_others_groups_are_left_alone(self, case: Case) -> None:
        """A group below ours that lacks the mark, and one with a name like ours but no mark."""
        made = case.make()
        tracking = made.payload().tracking
        os.mkdir("foreign", dir_fd=tracking.descriptor)
        with tracking.open_child("foreign") as foreign:
            one = case.start(made, foreign, "print('up', flush=True); sys.stdin.read()")
            assert one.line() == "up"
            for act in (foreign.kill, foreign.freeze, foreign.thaw):
                with pytest.raises(PermissionError, match="did not make"):
                    act()
        assert one.process.poll() is None
        top = os.path.dirname(made.paths[0])
        impostor = f"{top}/{case.name}-other"
        os.mkdir(impostor)
        try:
            with pytest.raises(UsageError, match="not made by pyinit"):
                cgroup.remove(f"{case.name}-other", [impostor])
            with pytest.raises(UsageError, match="left alone"):
                cgroup.remove(os.path.basename(top), [top])
            assert os.path.isdir(impostor)
        finally:
            os.rmdir(impostor)

    def test_the_caller_never_kills_itself(self, case: Case) -> None:
        """In a process of its own, which moves into the group and then kills it."""
        made = case.make()
        main = case.leaf(made)
        pid = os.fork()
        if pid == 0:
            os._exit(survive(main))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    def test_one_enters_and_sees_the_containers_group_as_root(self, case: Case) -> None:
        made = case.create(pids=20)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os._exit(enter_and_tell(made, writer))
        os.close(writer)
        with os.fdopen(reader) as told:
            seen = told.read().split()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        ours = {path for path in seen if not path.endswith(":/")}
        v1 = {"leaf:/payload"} if made.payload().legacy() else set()
        assert ours == {"init:/init", "leaf:/payload/main"} | v1
        with UsageReader.of(made.payload()) as usage:
            assert usage.read().pids_limit == 20

    def test_leaves_freeze_and_a_later_one_runs(self, case: Case) -> None:
        made = case.make()

        async def pause_and_go_on() -> None:
            async with trio.open_nursery() as nursery:
                leaves = Leaves(made.payload(), nursery)
                main, later = leaves.make("main"), leaves.make("exec-1")
                echo = case.start(made, main.group, ECHO)
                leaves.take(main)
                await leaves.freeze()
                assert main.group.frozen()
                free = case.start(made, later.group, "print('free', flush=True)")
                leaves.take(later)
                assert free.line() == "free"
                leaves.thaw()
                assert echo.ask("hello") == "hello"
                await leaves.freeze()
                await leaves.end(main)
                assert echo.process.wait(PATIENCE_S) == -signal.SIGKILL
                await leaves.end(later)
                await leaves.end(later)
                assert leaves.names() == made.payload().tracking.children() == []

        trio.run(pause_and_go_on)

    def test_a_leaf_ends_with_all_its_tree_and_no_other(self, case: Case) -> None:
        made = case.make()

        async def end_one() -> None:
            async with trio.open_nursery() as nursery:
                leaves = Leaves(made.payload(), nursery)
                one, other = leaves.make("exec-1"), leaves.make("exec-2")
                leaves.take(one)
                leaves.take(other)
                tree = case.start(made, one.group, self.TREE)
                spared = case.start(made, other.group, ECHO)
                daemon = int(tree.line())
                with leaves_child(made, "exec-1") as group:
                    group.make_child("made-by-the-payload").close()
                assert set(one.pids()) == {tree.process.pid, daemon}
                await leaves.end(one)
                assert one.is_closed
                assert spared.ask("still here") == "still here"
                assert leaves.names() == made.payload().tracking.children() == ["exec-2"]
                await leaves.end(other)

        trio.run(end_one)

    def test_a_leaf_lingers_until_the_last_process_has_gone(self, case: Case) -> None:
        made = case.make()

        async def release() -> None:
            async with trio.open_nursery() as nursery:
                leaves = Leaves(made.payload(), nursery)
                leaf = leaves.make("exec-1")
                leaves.take(leaf)
                left = case.start(made, leaf.group, ECHO)
                leaves.release(leaf)
                assert left.ask("alive") == "alive"
                await trio.testing.wait_all_tasks_blocked()
                assert leaf.pids() == [left.process.pid]
                left.process.kill()
                left.process.wait()
                with trio.fail_after(PATIENCE_S):
                    while not leaf.is_closed:
                        leaves.look_again()
                        await trio.sleep(0.01)
                assert made.payload().tracking.children() == []

        trio.run(release)


ECHO = "\nfor line in sys.stdin: print(line, end='', flush=True)"


def leaves_child(made: ContainerCgroup, name: str) -> Group:
    return made.payload().tracking.open_child(name)


def enter_and_tell(made: ContainerCgroup, writer: int) -> int:
    """0 when this process could enter, and a child of it a leaf; writes where each found itself."""
    made.enter(lambda: unshare(CLONE_NEWCGROUP))
    os.write(writer, groups_of_self("init").encode())
    leaf = made.payload().tracking.make_child("main")
    child = os.fork()
    if child == 0:
        made.payload().attach_thread()
        leaf.attach(0)
        os.write(writer, groups_of_self("leaf").encode())
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def groups_of_self(label: str) -> str:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return "".join(f"{label}:{line.split(':', 2)[2]}\n" for line in lines)


def readable(watch: OomWatch, seconds: float = PATIENCE_S) -> bool:
    return bool(select.select([watch], [], [], seconds)[0])


def survive(group: Group) -> int:
    group.attach(0)
    if isinstance(group, LegacyGroup):
        group.kill()  # spares the caller
        return 0
    try:
        group.kill()
    except PermissionError:
        return 0
    return 1
