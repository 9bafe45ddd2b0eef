"""Execs before, in and after a pause: what runs when it begins stops, what comes later runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import probe
from tests.support.controls import Caller, Init, running, until

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("leaks_nothing")]

SLEEP = {"command": {"argv": ["sleep", "600"], "grace": 0.1}, "detach": True}
SIZE = {"rows": 24, "columns": 80}


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Init]:
    probe.require_root()
    with running(tmp_path_factory.mktemp("run"), f"pause-tests-{os.getpid()}") as one:
        yield one


def frozen(init: Init) -> int:
    """How many leaves are frozen."""
    lines = Path(f"/proc/{init.container.pid}/cgroup").read_text().splitlines()
    own = next(line.split(":")[2] for line in lines if ":freezer:" in line)
    payload = Path("/sys/fs/cgroup/freezer") / own.lstrip("/") / "../payload"
    return sum(
        (payload / leaf / "freezer.state").read_text() == "FROZEN\n" for leaf in init.leaves()
    )


def end(caller: Caller, *identities: str) -> None:
    for identity in identities:
        caller.call("SignalExec", id=identity, signal="KILL")
        assert caller.call("WaitExec", id=identity)["status"] == {"signal": 9}


def test_what_runs_is_frozen_and_what_comes_later_runs(init: Init, caller: Caller) -> None:
    first = caller.call("Exec", **SLEEP)["id"]
    caller.call("Freeze")
    assert frozen(init) == 1
    assert caller.call("Describe")["container"]["state"] == "paused"
    assert caller.call("ListProcesses")["processes"]
    assert caller.call("Stats")["stats"]["processes"] >= 1
    assert caller.run("echo", "here")["stdout"] == "here\n"
    for more in ({"terminal": SIZE}, {"detach": True}, {}):
        command = {"argv": ["true"], "rlimits": {"nofile": {"soft": 64, "hard": 64}}}
        caller.send("Exec", {"command": command, **more}, more=not more.get("detach"))
        reply = caller.receive()
        for descriptor in reply.fds:
            os.close(descriptor)
        if not more.get("detach"):
            reply = caller.receive()
            assert reply.parameters["status"] == {"code": 0}
        assert caller.call("WaitExec", id=reply.parameters["id"])["status"] == {"code": 0}
    assert frozen(init) == 1
    caller.call("Thaw")
    assert frozen(init) == 0
    end(caller, first)


def test_pausing_again_stops_what_came_later(init: Init, caller: Caller) -> None:
    first = caller.call("Exec", **SLEEP)["id"]
    caller.call("Freeze")
    second = caller.call("Exec", **SLEEP)["id"]
    assert frozen(init) == 1
    caller.call("Freeze")
    assert frozen(init) == 2
    third = caller.call("Exec", **SLEEP)["id"]
    caller.call("Thaw")
    assert frozen(init) == 0
    assert caller.call("Describe")["container"]["state"] == "running"
    end(caller, first, second, third)


def test_one_of_a_pause_can_be_timed_out(caller: Caller) -> None:
    caller.call("Freeze")
    done = caller.call("Run", command={"argv": ["sleep", "600"], "timeout": 0.05, "grace": 0.05})
    assert done["timed_out"] is True
    caller.call("Thaw")


def test_a_lost_client_ends_its_exec_while_paused(init: Init, caller: Caller) -> None:
    with init.caller() as other:
        other.send("Exec", {"command": {"argv": ["sleep", "600"], "grace": 0.1}}, more=True)
        pid = other.receive().parameters["pid"]
        caller.call("Freeze")
    until(lambda: pid not in [each["pid"] for each in caller.call("ListProcesses")["processes"]])
    caller.call("Thaw")


def test_pauses_in_the_midst_of_execs(init: Init, caller: Caller) -> None:
    """No thread of PID 1 is ever in a leaf that is frozen: that would be the end of all answers."""

    def some(number: int) -> None:
        limits = {"rlimits": {"nofile": {"soft": 64, "hard": 64}}} if number % 2 else {}
        with init.caller() as one:
            for _ in range(40):
                command = {"argv": ["true"], **limits}
                assert one.call("Exec", command=command)["status"] == {"code": 0}

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(some, number) for number in range(4)]
        while not all(each.done() for each in work):
            caller.call("Freeze")
            caller.call("Thaw")
        for each in work:
            each.result()
