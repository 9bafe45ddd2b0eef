"""How execs begin and end: whole, on time, and without a trace."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.controls import PATIENCE_S, Caller, Init, until

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("leaks_nothing")]

# Prints its pids, one of which has left session, parents and all.
TREE = """
import os, signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_IGN if 'hup' in sys.argv else signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_IGN if 'term' in sys.argv else signal.SIG_DFL)
if os.fork() == 0:
    if 'session' not in sys.argv:
        os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    if 'parents' in sys.argv:
        os._exit(0)
    os.wait()
print(os.getpid(), flush=True)
time.sleep(600)
"""


def tree(*options: str) -> list[str]:
    return ["python3", "-c", TREE, *options]


def begin(caller: Caller, argv: list[str], **more: Any) -> tuple[str, int]:
    """An exec with its output in a pipe: its id, and the end of the pipe to read."""
    reading, writing = os.pipe()
    command = {"argv": argv, **more.pop("command", {})}
    caller.send("Exec", {"command": command, "stdout": 0, **more}, [writing], more=True)
    os.close(writing)
    reply = caller.receive()
    assert reply.error is None, (reply.error, reply.parameters)
    assert reply.parameters["event"] == "started"
    return reply.parameters["id"], reading


def two_pids(reading: int) -> list[int]:
    text = b""
    while text.count(b"\n") < 2:
        text += os.read(reading, 100)
    return [int(line) for line in text.split()]


def alive(caller: Caller) -> set[int]:
    found = caller.call("ListProcesses")["processes"]
    return {each["pid"] for each in found if each["state"] not in "ZX"}


def until_gone(caller: Caller, pids: list[int]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while alive(caller) & set(pids):
        assert time.monotonic() < limit, "processes of an ended exec go on"
        time.sleep(0.01)


def of(caller: Caller, identity: str) -> Any:
    return next(each for each in caller.call("ListExecs")["execs"] if each["id"] == identity)


@pytest.mark.parametrize("stubborn", [(), ("hup",), ("hup", "term")])
def test_a_lost_client_ends_the_whole_tree(
    init: Init, caller: Caller, stubborn: tuple[str, ...]
) -> None:
    escaped = () if init.leaves() else ("session",)
    with init.caller() as client:
        identity, reading = begin(client, tree(*stubborn, *escaped), command={"grace": 0.1})
        pids = two_pids(reading)
    until_gone(caller, pids)
    assert os.read(reading, 100) == b""
    os.close(reading)
    assert caller.call("WaitExec", id=identity)["status"].get("signal")


def test_what_lost_its_parents_is_ended_too(init: Init, caller: Caller) -> None:
    # Without a cgroup the session is what holds it.
    options = ("parents",) if init.leaves() else ("parents", "session")
    with init.caller() as client:
        _, reading = begin(client, tree(*options), command={"grace": 0.1})
        pids = two_pids(reading)
    until_gone(caller, pids)
    os.close(reading)


def test_a_timeout_ends_the_tree_and_is_told(caller: Caller) -> None:
    identity, reading = begin(caller, tree("session"), command={"timeout": 0.3, "grace": 0.1})
    pids = two_pids(reading)
    exited = caller.receive()
    assert exited.parameters["timed_out"] is True
    assert exited.parameters["status"] == {"signal": 15}
    assert not alive(caller) & set(pids)
    assert of(caller, identity)["timed_out"] is True
    os.close(reading)


def test_a_timeout_that_is_not_reached(caller: Caller) -> None:
    done = caller.call("Exec", command={"argv": ["sh", "-c", "exit 7"], "timeout": 60})
    assert done["status"] == {"code": 7}
    assert "timed_out" not in done


def test_a_stopped_tree_is_ended(init: Init, caller: Caller) -> None:
    with init.caller() as client:
        identity, reading = begin(client, tree("session"))
        pids = two_pids(reading)
        caller.call("SignalExec", id=identity, signal="STOP", all=True)
    until_gone(caller, pids)
    os.close(reading)


def test_signals_reach_the_command_or_its_tree(caller: Caller, init: Init) -> None:
    with init.caller() as client:
        identity, reading = begin(client, tree("term", "session"))
        two_pids(reading)
        caller.call("SignalExec", id=identity, signal="SIGUSR1", all=True)
        assert client.receive().parameters["status"] == {"signal": 10}
        os.close(reading)
        identity, reading = begin(client, ["sleep", "600"])
        caller.call("SignalExec", id=identity, signal="9")
        assert client.receive().parameters["status"] == {"signal": 9}
        os.close(reading)
    caller.call("SignalExec", id=identity, signal="TERM")
    assert caller.fail("SignalExec", id="none", signal="TERM")[0] == "NotFound"
    assert caller.fail("SignalExec", id=identity, signal="NONE")[0] == "InvalidArgument"


def test_what_a_command_leaves_behind_lives_on(caller: Caller, init: Init) -> None:
    script = "sleep 600 & echo $!"
    done = caller.run("sh", "-c", f"({script}) </dev/null 2>/dev/null")
    pid = int(done["stdout"])
    assert done["status"] == {"code": 0}
    assert pid in alive(caller)
    caller.call("SignalProcess", pid=pid, signal="KILL")
    until_gone(caller, [pid])


def test_a_command_that_stays_away_from_its_pipe_ends_the_output(caller: Caller) -> None:
    """PID 1 keeps no end of a pipe that it passed on."""
    _, reading = begin(caller, ["sh", "-c", "exec >&-; sleep 600"], command={"grace": 0})
    assert os.read(reading, 10) == b""
    os.close(reading)
    caller.close()


def test_ids(caller: Caller, init: Init) -> None:
    name = f"mine-{time.monotonic_ns()}"
    with init.caller() as client:
        identity, reading = begin(client, ["sleep", "600"], id=name)
        assert identity == name
        found = of(caller, name)
        assert (found["state"], found["peer_uid"], found["user"]) == ("running", 0, "root")
        kind, _ = caller.fail("Exec", command={"argv": ["true"]}, id=name)
        assert kind == "InUse"
    ended = caller.call("WaitExec", id=name)
    assert ended["status"] == {"signal": 1}
    assert of(caller, name)["state"] == "exited"
    os.close(reading)


def test_a_client_that_leaves_before_the_start(init: Init, caller: Caller) -> None:
    for _ in range(20):
        with init.caller() as client:
            client.send("Exec", {"command": {"argv": ["sleep", "600"], "grace": 0}})
    limit = time.monotonic() + PATIENCE_S
    while caller.call("Describe")["container"]["execs"]:
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_every_exec_is_in_the_audit_log(init: Init, caller: Caller) -> None:
    name = f"audit-{time.monotonic_ns()}"
    command = {"argv": ["sh", "-c", "exit 3"], "user": "nobody"}
    caller.call("Exec", command=command, id=name)
    assert caller.fail("Exec", command={"argv": ["/nowhere"]}, id=f"{name}-2")[0] == (
        "CommandNotFound"
    )

    def lines() -> list[Any]:
        return [json.loads(line) for line in init.log().splitlines() if name in line]

    until(lambda: len(lines()) == 3)  # a thread writes them
    begun, ended, failed = lines()
    assert begun["event"] == "exec begun"
    assert (begun["argv"], begun["user"]) == (["sh", "-c", "exit 3"], "nobody")
    assert (begun["peer_uid"], begun["pid"] > 1) == (0, True)
    assert (ended["event"], ended["code"], ended["signal"]) == ("exec ended", 3, None)
    assert ended["timed_out"] is False
    assert ended["seconds"] >= 0
    assert (failed["event"], failed["argv"]) == ("exec not started", ["/nowhere"])


def test_no_thread_but_the_main_one_is_woken_by_sigchld(init: Init) -> None:
    """It blocks the signal and reads it from a descriptor; who does not block it would take it."""
    pid = init.container.pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = (task / "status").read_text()
        blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
        assert blocked & 1 << signal.SIGCHLD - 1, (task.name, pid)
