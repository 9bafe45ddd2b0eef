"""What a real child holds, whichever way it was spawned: read from its own /proc/self/status."""

from __future__ import annotations

import os
import platform
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyinit.errors import PyinitError, UsageError
from pyinit.init import wear
from pyinit.init.users import User
from pyinit.linux import capabilities, credentials, prctl
from pyinit.linux.libc import SYS_PIDFD_GETFD, SYS_TGKILL, SYS_UNSHARE, syscall
from pyinit.spec.privileges import (
    PRIVILEGED,
    Privileges,
    Rlimit,
    change_capabilities,
    change_rlimits,
)

pytestmark = pytest.mark.root

CLONE_NEWUSER = 0x10000000
SYS_PTRACE = 101 if platform.machine() == "x86_64" else 117

Status = dict[str, str]
Outcome = Status | BaseException

ROOT = User(0, 0)
ADA = User(1000, 1001, (5, 7), "ada", "/home/ada")
NONE = "0" * 16
INIT = capabilities.get_sets().permitted


def parsed(text: str) -> Status:
    pairs = (line.partition(":") for line in text.splitlines())
    return {key: " ".join(value.split()) for key, _, value in pairs}


def own_status() -> Status:
    return parsed(Path("/proc/thread-self/status").read_text())


def spawned() -> Status:
    """The status of a program that the calling thread spawns."""
    reading, writing = os.pipe()
    with open(reading, encoding="ascii") as answer:
        try:
            child = os.posix_spawn(
                "/bin/cat",
                ["cat", "/proc/self/status"],
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)],
                resetids=True,
                setsigmask=[],
            )
        finally:
            os.close(writing)
        text = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return parsed(text)


def in_limited_thread(
    privileges: Privileges, work: Callable[[], Outcome], program: bytes | None = None
) -> Outcome:
    """What `work` returned, or raised, in a thread that was limited first."""
    outcome: list[Outcome] = []

    def run() -> None:
        try:
            wear.limit_thread(privileges, program)
            outcome.append(work())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


def by_thread(privileges: Privileges, user: User) -> Status:
    def work() -> Status:
        before = own_status()
        wear.become(user, privileges.ambient_mask())
        try:
            child = spawned()
        finally:
            wear.take_off(user, privileges.ambient_mask())
        after = own_status()
        for key in ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert after[key] == before[key], key
        return child

    outcome = in_limited_thread(privileges, work)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def by_fork(privileges: Privileges, user: User) -> Status:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(writing, 1)
            wear.apply_in_child(privileges, user)
            os.execv("/bin/cat", ["cat", "/proc/self/status"])
        except PyinitError as error:
            os.write(writing, f"{type(error).__name__}:{error}".encode())
        finally:
            os._exit(125)
    os.close(writing)
    with open(reading, encoding="utf-8") as answer:
        text = answer.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, text
    return parsed(text)


WAYS = pytest.mark.parametrize("way", [by_thread, by_fork])
Way = Callable[[Privileges, User], Status]


def hexadecimal(mask: int) -> str:
    return f"{mask & INIT:016x}"


@WAYS
def test_root_holds_exactly_the_containers_set(way: Way) -> None:
    status = way(Privileges(), ROOT)
    default = hexadecimal(Privileges().mask())
    assert status["CapPrm"] == status["CapEff"] == status["CapBnd"] == default
    assert status["CapInh"] == status["CapAmb"] == NONE
    assert status["Uid"] == status["Gid"] == "0 0 0 0"
    assert status["Groups"] == ""
    assert status["NoNewPrivs"] == "1"
    assert status["SigBlk"] == NONE


@WAYS
def test_root_without_any_capability(way: Way) -> None:
    status = way(change_capabilities(Privileges(), drop=["ALL"]), ROOT)
    for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert status[field] == NONE, field


@WAYS
def test_another_user_holds_none(way: Way) -> None:
    status = way(Privileges(), ADA)
    assert status["Uid"] == "1000 1000 1000 1000"
    assert status["Gid"] == "1001 1001 1001 1001"
    assert status["Groups"] == "5 7"
    for field in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert status[field] == NONE, field
    assert status["CapBnd"] == hexadecimal(Privileges().mask())


@WAYS
def test_another_user_holds_what_was_added_by_name(way: Way) -> None:
    privileges = change_capabilities(Privileges(), add=["net_raw"])
    status = way(privileges, ADA)
    added = hexadecimal(privileges.ambient_mask())
    assert status["CapPrm"] == status["CapEff"] == status["CapInh"] == status["CapAmb"] == added
    assert status["CapBnd"] == hexadecimal(privileges.mask())
    assert int(added, 16) == 1 << 13


@WAYS
def test_privileged(way: Way) -> None:
    status = way(PRIVILEGED, ROOT)
    assert status["CapPrm"] == status["CapEff"] == hexadecimal(INIT)
    assert status["NoNewPrivs"] == "0"
    assert way(PRIVILEGED, ADA)["CapEff"] == NONE


@WAYS
def test_root_of_another_group(way: Way) -> None:
    status = way(Privileges(), User(0, 33))
    assert status["Uid"] == "0 0 0 0"
    assert status["Gid"] == "33 33 33 33"
    assert status["CapEff"] == hexadecimal(Privileges().mask())


def answer_of_child(work: Callable[[], object]) -> str:
    """What `work` returned in a forked child, or the name and text of what it raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "nothing"
        try:
            answer = str(work())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, answer.encode())
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as opened:
        text = opened.read()
    os.waitpid(child, 0)
    return text


def enter_user_namespace() -> None:
    """A namespace as an ordinary user gets it: one id, and no groups to be set."""
    syscall(SYS_UNSHARE, CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text("0 0 1")
    Path("/proc/self/gid_map").write_text("0 0 1")


@pytest.mark.parametrize("user", [User(5, 0), User(0, 5)])
def test_an_id_that_is_not_mapped_leaves_the_thread_as_it_was(user: User) -> None:
    def work() -> str:
        enter_user_namespace()
        wear.limit_thread(Privileges())
        before = own_status()
        with pytest.raises(UsageError, match="no place in the container's user namespace"):
            wear.become(user)
        same = all(own_status()[key] == before[key] for key in ("Uid", "Gid", "CapEff"))
        return "as before" if same else str(own_status())

    assert answer_of_child(work) == "as before"


def test_groups_that_can_not_be_had_are_left_out() -> None:
    def work() -> str:
        enter_user_namespace()
        wear.apply_in_child(Privileges(), User(0, 0, (1, 2)))
        return own_status()["CapEff"]

    assert answer_of_child(work) == f"{Privileges().mask():016x}"


def test_an_init_without_power_says_so() -> None:
    def work() -> str:
        credentials.set_user_ids(1000, 1000, 1000)
        wear.become(User(1001, 0))
        return "became another user"

    assert answer_of_child(work).startswith("Unsupported: init may not become user 1001:0")


def test_an_init_without_power_may_stay_itself() -> None:
    def work() -> str:
        credentials.set_groups(())
        credentials.set_group_ids(1000, 1000, 1000)
        credentials.set_user_ids(1000, 1000, 1000)
        wear.become(User(1000, 1000))
        return own_status()["Uid"]

    assert answer_of_child(work) == "1000 1000 1000 1000"


def test_an_init_that_can_not_limit_says_so() -> None:
    def work() -> str:
        credentials.set_user_ids(1000, 1000, 1000)
        wear.limit_thread(Privileges())
        return "limited"

    assert "Unsupported: init has no CAP_SETPCAP" in answer_of_child(work)


def test_limits_are_the_childs() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    privileges = change_rlimits(
        Privileges(), [Rlimit("nofile", 100, min(hard, 200)), Rlimit("core", 0, 0)]
    )

    def work() -> str:
        wear.apply_in_child(privileges, ADA)
        return str([resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)])

    assert answer_of_child(work) == str([(100, min(hard, 200)), (0, 0)])


def test_a_limit_above_what_the_kernel_has_is_a_usage_error() -> None:
    privileges = change_rlimits(Privileges(), [Rlimit("nofile", 5, -1)])
    said = answer_of_child(lambda: wear.apply_in_child(privileges, ADA))
    assert said.startswith("UsageError: ulimit nofile=5:-1: more than")


# What a user of the container can do to the thread while it wears that user.


@pytest.fixture
def wearing() -> Iterator[tuple[int, int]]:
    """Pid of a process and tid of its thread that wears ADA, both in the place of init."""
    told, tell = os.pipe()
    wait, release = os.pipe()
    victim = os.fork()
    if victim == 0:
        try:
            os.close(release)
            wear_until_told(tell, wait)
        finally:
            os._exit(1)
    os.close(tell)
    os.close(wait)
    tid = int(os.read(told, 20))
    try:
        yield victim, tid
    finally:
        os.close(release)
        os.close(told)
        assert os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1]) == 0


def wear_until_told(tell: int, wait: int) -> None:
    """Exit status 0 if the thread got through it unharmed."""
    prctl.set_dumpable(False)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def work() -> Status:
        wear.become(ADA)
        os.write(tell, str(threading.get_native_id()).encode())
        os.read(wait, 1)
        wear.take_off(ADA)
        return own_status()

    outcome = in_limited_thread(Privileges(), work)
    unharmed = isinstance(outcome, dict) and outcome["Uid"] == "0 0 0 0"
    same = resource.getrlimit(resource.RLIMIT_NOFILE) == limits
    os._exit(0 if unharmed and same else 1)


def as_ada(attempt: Callable[[], object]) -> str:
    """What came of an attempt by a process of the same user, as any in the container."""

    def work() -> object:
        wear.apply_in_child(Privileges(), ADA)
        prctl.set_dumpable(True)
        return attempt()

    return answer_of_child(work)


PTRACE_SEIZE = 0x4206
LOOKS = ["mem", "environ", "maps", "fd", "cwd", "root", "exe", "ns/mnt", "stack", "syscall"]


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("place", ["/proc/{tid}", "/proc/{pid}/task/{tid}"])
def test_proc_tells_nothing(wearing: tuple[int, int], place: str, name: str) -> None:
    path = f"{place.format(pid=wearing[0], tid=wearing[1])}/{name}"

    def attempt() -> object:
        if os.path.islink(path):
            return os.readlink(path)
        return os.listdir(path) if os.path.isdir(path) else os.open(path, os.O_RDONLY)

    assert "PermissionError" in as_ada(attempt)


def test_no_ptrace(wearing: tuple[int, int]) -> None:
    assert "PermissionError" in as_ada(lambda: syscall(SYS_PTRACE, PTRACE_SEIZE, wearing[1], 0, 0))


def test_no_descriptor_is_taken(wearing: tuple[int, int]) -> None:
    def attempt() -> object:
        return syscall(SYS_PIDFD_GETFD, os.pidfd_open(wearing[0]), 0, 0)

    assert "PermissionError" in as_ada(attempt)


def test_no_limit_is_lowered(wearing: tuple[int, int]) -> None:
    def attempt(tid: int) -> object:
        return resource.prlimit(tid, resource.RLIMIT_NOFILE, (0, 0))

    assert "PermissionError" in as_ada(lambda: attempt(wearing[1]))
    assert "PermissionError" in as_ada(lambda: attempt(wearing[0]))


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGSEGV, signal.SIGSTOP, signal.SIGRTMIN + 3]
)
def test_no_signal_to_the_process(wearing: tuple[int, int], number: int) -> None:
    assert "PermissionError" in as_ada(lambda: os.kill(wearing[0], number))


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGRTMIN + 3]
)
def test_a_signal_to_the_thread_waits_for_ever(wearing: tuple[int, int], number: int) -> None:
    """The kernel lets it through, because the real id matches; the fixture sees no harm."""
    assert as_ada(lambda: syscall(SYS_TGKILL, *wearing, number)) == "0"


def test_no_scheduling_of_the_thread(wearing: tuple[int, int]) -> None:
    tid = wearing[1]
    attempts: list[Callable[[], object]] = [
        lambda: os.setpriority(os.PRIO_PROCESS, tid, 19),
        lambda: os.sched_setscheduler(tid, os.SCHED_IDLE, os.sched_param(0)),
        lambda: os.sched_setaffinity(tid, {0}),
    ]
    assert all("PermissionError" in as_ada(attempt) for attempt in attempts)
