"""Execs in a container that has used up its processes or its memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest

from pyinit.spec.limits import Limits
from tests.support import probe
from tests.support.containers import Host, host
from tests.support.controls import Caller, Init, running, until

__all__ = ["host"]

pytestmark = pytest.mark.root

MEMORY = 64 << 20
PIDS = 12
SLEEP = {"argv": ["sleep", "600"], "grace": 0}
WAYS: list[dict[str, Any]] = [
    {},
    {"terminal": {"rows": 1, "columns": 1}},
    {"command": {"argv": ["true"], "rlimits": {"nofile": {"soft": 64, "hard": 64}}}},
    {"detach": True},
]


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Init]:
    probe.require_root()
    limits = Limits(memory=MEMORY, memory_swap=MEMORY, pids=PIDS)
    folder = tmp_path_factory.mktemp("run")
    with running(folder, f"limit-tests-{os.getpid()}", limits=limits) as one:
        yield one


@pytest.mark.usefixtures("leaks_nothing")
def test_no_process_is_left(caller: Caller) -> None:
    """EAGAIN of fork and posix_spawn in PID 1."""
    sleeping = []
    for _ in range(PIDS + 1):
        caller.send("Exec", {"command": SLEEP, "detach": True})
        reply = caller.receive()
        if reply.error is not None:
            break
        sleeping.append(reply.parameters["id"])
    assert 0 < len(sleeping) <= PIDS
    for more in WAYS:
        name, parameters = caller.fail("Exec", **{"command": {"argv": ["true"]}, **more})
        assert (name, parameters["errno"]) == ("Exhausted", errno.EAGAIN)
        assert parameters["doing"] == "start true"
        assert "--pids-limit" in parameters["reason"]
    assert caller.fail("Run", command={"argv": ["true"]})[0] == "Exhausted"
    assert caller.call("Describe")["container"]["execs"] == len(sleeping)
    assert caller.call("Stats")["stats"]
    for identity in sleeping:
        caller.call("SignalExec", id=identity, signal="KILL")
    until(lambda: caller.call("Describe")["container"]["execs"] == 0)
    assert caller.run("echo", "again")["stdout"] == "again\n"


def refused(caller: Caller) -> bool:
    caller.send("Exec", {"command": {"argv": ["true"]}})
    return caller.receive().error is not None


def test_the_command_line_says_what_is_lacking(init: Init, host: Host) -> None:
    with init.caller() as one, init.caller() as two:
        script = "for _ in {1..20}; do sleep 600 & done; exec sleep 600"
        command = {"argv": ["bash", "-c", script], "grace": 0}
        one.send("Exec", {"command": command}, more=True)
        one.receive()
        until(lambda: refused(two))
        done = host.ctl("exec", str(init.path), "--", "true")
    with init.caller() as three:
        until(lambda: len(three.call("ListProcesses")["processes"]) == 1)
    assert done.returncode == 125
    assert done.stderr.count(b"\n") == 1
    assert b"start true: no more processes: --pids-limit" in done.stderr


def test_an_exec_that_takes_all_memory_is_killed(init: Init, caller: Caller) -> None:
    """The others, and PID 1, stay; and it is told."""
    with init.caller() as other, init.caller() as events:
        events.send("Events", {"follow": True}, more=True)
        other.send("Exec", {"command": SLEEP}, more=True)
        identity = other.receive().parameters["id"]
        hog = caller.run("tail", "/dev/zero")
        assert hog["status"] == {"signal": 9}
        assert hog["timed_out"] is False
        told: list[Any] = []
        while not any(each["kind"] == "oom" for each in told):
            told += events.receive().parameters["events"]
        assert next(each for each in told if each["kind"] == "oom")["details"] == {"killed": 1}
        assert caller.call("Stats")["stats"]["oom_kills"] >= 1
        assert identity in [
            each["id"] for each in caller.call("ListExecs")["execs"] if each["state"] == "running"
        ]
        assert caller.run("echo", "again")["stdout"] == "again\n"
    until(lambda: caller.call("Describe")["container"]["execs"] == 0)
