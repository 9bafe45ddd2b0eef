"""What a client may send around an exec: each is answered in its turn, and PID 1 goes on."""

from __future__ import annotations

import os
import socket
import time

import pytest

from tests.support.controls import Caller, Init, until

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("leaks_nothing")]

TRUE = {"command": {"argv": ["/bin/true"]}}
EXIT_3 = {"command": {"argv": ["sh", "-c", "exit 3"]}}
# Calls whose answers are together more than a socket holds (net.core.wmem_default).
MANY = 600
# Clients, each of which leaves at another moment, 0 to 2.5 ms after its call.
LEAVING = 300


def execs(caller: Caller) -> int:
    count: int = caller.call("Describe")["container"]["execs"]
    return count


def test_one_that_wants_no_answer(init: Init, caller: Caller) -> None:
    caller.send("Exec", EXIT_3, oneway=True)
    caller.send("Exec", {"command": {"argv": ["/nonesuch"]}}, oneway=True)
    # Answers come in the order of the calls: both are over by then.
    assert execs(caller) == 0
    with init.caller() as other:
        assert other.call("ListExecs")["execs"][-1]["status"] == {"code": 3}


def test_calls_behind_one_are_answered_in_order(caller: Caller) -> None:
    caller.send("Exec", EXIT_3)
    caller.send("WaitExec", {"id": "none"})
    caller.send("Exec", {"command": {"argv": ["/nonesuch"]}})
    caller.send("Exec", TRUE)
    assert caller.receive().parameters["status"] == {"code": 3}
    assert str(caller.receive().error).endswith("NotFound")
    assert str(caller.receive().error).endswith("CommandNotFound")
    assert caller.receive().parameters["status"] == {"code": 0}


def test_a_client_that_says_no_more_is_still_answered(caller: Caller) -> None:
    caller.send("Exec", EXIT_3)
    caller.send("Exec", TRUE)
    caller.socket.shutdown(socket.SHUT_WR)
    assert caller.receive().parameters["status"] == {"code": 3}
    assert caller.receive().parameters["status"] == {"code": 0}
    assert caller.socket.recv(1) == b""


def test_an_upgrade_for_nothing_ends_the_connection(caller: Caller) -> None:
    caller.send("Exec", EXIT_3, upgrade=True)
    assert caller.receive().parameters["status"] == {"code": 3}
    assert caller.socket.recv(1) == b""


def test_descriptors_behind_one_end_it(init: Init, caller: Caller) -> None:
    """Nobody can tell whose they are."""
    caller.send("Exec", {"command": {"argv": ["sleep", "600"]}})
    reading, writing = os.pipe()
    with init.caller() as other:
        until(lambda: execs(other) == 1)
        socket.send_fds(caller.socket, [b"{"], [reading])
        assert caller.socket.recv(1) == b""
        until(lambda: execs(other) == 0)
    os.close(reading)
    os.close(writing)


def test_a_client_that_reads_late_gets_every_answer(init: Init, caller: Caller) -> None:
    for _ in range(MANY):
        caller.send("Exec", {"command": {"argv": ["/" + "x" * 500]}})
        caller.send("Describe", {})
    caller.send("Exec", EXIT_3)
    with init.caller() as other:
        assert other.run("/bin/true")["status"] == {"code": 0}  # nobody else is held up
    for _ in range(MANY):
        assert str(caller.receive().error).endswith("CommandNotFound")
        assert "container" in caller.receive().parameters
    assert caller.receive().parameters["status"] == {"code": 3}


@pytest.mark.parametrize("more", [False, True])
def test_a_client_that_leaves_as_its_command_ends(init: Init, caller: Caller, more: bool) -> None:
    """Whichever comes first, there is nobody to answer, and PID 1 goes on."""
    for number in range(LEAVING):
        with init.caller() as client:
            client.send("Exec", {"command": {"argv": ["/bin/true"], "grace": 0}}, more=more)
            if more:
                client.receive()
            time.sleep(number % 50 / 20_000)
    until(lambda: execs(caller) == 0)
    assert '"level":"error"' not in init.log()
