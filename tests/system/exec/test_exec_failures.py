"""What goes wrong around an exec: each is told, and PID 1 goes on."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import resource
import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.support.controls import Caller, Init, settled, until

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("leaks_nothing")]

MANY = 500
# Bytes that PID 1 may keep of a second thousand execs.
MEMORY_OF_MORE = 8 << 20


@pytest.mark.parametrize(
    ("command", "error", "reason"),
    [
        ({"argv": ["nonesuch"]}, "CommandNotFound", "not found in PATH"),
        ({"argv": ["/nonesuch"]}, "CommandNotFound", "no such file"),
        ({"argv": ["/etc/passwd"]}, "CommandNotExecutable", "chmod"),
        ({"argv": ["/etc"]}, "CommandNotExecutable", "folder"),
        ({"argv": [""]}, "CommandNotFound", "empty"),
        ({"argv": ["true", "x" * 200_000]}, "CommandNotExecutable", "too long"),
        ({"argv": ["a\0b"]}, "InvalidArgument", "NUL"),
        ({"argv": []}, "InvalidParameter", None),
        ({"argv": ["true"], "workdir": "/nonesuch"}, "InvalidArgument", "/nonesuch"),
        ({"argv": ["true"], "workdir": "tmp"}, "InvalidArgument", "does not start"),
        ({"argv": ["true"], "user": "nobody-here"}, "InvalidArgument", "nobody-here"),
        ({"argv": ["true"], "timeout": -1}, "InvalidParameter", None),
        ({"argv": ["true"], "cap_add": ["FLY"]}, "InvalidArgument", "FLY"),
        ({"argv": ["true"], "rlimits": {"legs": {"soft": 1}}}, "InvalidArgument", "legs"),
        ({"argv": ["true"], "umask": 4096}, "InvalidParameter", None),
    ],
)
@pytest.mark.parametrize("terminal", [False, True])
def test_bad_commands(
    caller: Caller, command: dict[str, Any], error: str, reason: str | None, terminal: bool
) -> None:
    more = {"terminal": {"rows": 1, "columns": 1}} if terminal else {}
    name, parameters = caller.fail("Exec", command=command, **more)
    assert name == error
    if reason is not None:
        assert reason in parameters["reason"]
    assert caller.call("Describe")["container"]["execs"] == 0


def test_a_folder_that_has_gone(caller: Caller) -> None:
    """PID 1's own folder is the root, and stays that."""
    caller.run("mkdir", "/tmp/gone")
    done = caller.run("sh", "-c", "rmdir /tmp/gone; pwd; /bin/true", workdir="/tmp/gone")
    assert done["status"] == {"code": 0}
    assert caller.fail("Run", command={"argv": ["true"], "workdir": "/tmp/gone"})[0] == (
        "InvalidArgument"
    )
    assert caller.run("pwd")["stdout"] == "/\n"


@contextmanager
def descriptors_left(init: Init, left: int) -> Iterator[None]:
    """PID 1 can open no more than so many."""
    pid = init.container.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = settled(init)["descriptors"]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + left, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_no_descriptor_left(init: Init, caller: Caller) -> None:
    caller.call("Describe")  # so that the connection has its descriptor
    with descriptors_left(init, 3), init.caller() as other:
        name, parameters = caller.fail("Run", command={"argv": ["true"]})
        assert (name, parameters["errno"]) == ("Exhausted", 24)
        assert other.call("Describe")["container"]["execs"] == 0


WAYS: list[dict[str, Any]] = [
    {"command": {"argv": ["true"]}},
    {"command": {"argv": ["true"]}, "detach": True},
    {"command": {"argv": ["true"]}, "terminal": {"rows": 1, "columns": 1}},
    {"command": {"argv": ["true"], "rlimits": {"nofile": {"soft": 64, "hard": 64}}}},
]


@pytest.mark.parametrize("left", range(9))
def test_few_descriptors_left(init: Init, caller: Caller, left: int) -> None:
    """Each way of starting a command works, or says what is lacking. What fails leaves nothing."""
    caller.call("Describe")  # so that the connection has its descriptor
    with descriptors_left(init, left):
        for call in WAYS:
            caller.send("Exec", call)
            reply = caller.receive()
            for descriptor in reply.fds:
                os.close(descriptor)
            if reply.error is not None:
                assert reply.error.endswith(".Exhausted")
                assert reply.parameters["errno"] == errno.EMFILE
    until(lambda: caller.call("Describe")["container"]["execs"] == 0)
    assert caller.run("echo", "again")["stdout"] == "again\n"


def test_an_exec_is_ended_without_a_descriptor(init: Init, caller: Caller) -> None:
    """Its processes are listed in files that can't be opened then: PID 1 goes on trying."""
    caller.call("Describe")  # so that the connection has its descriptor
    with init.caller() as lost:
        command = {"argv": ["bash", "-c", "trap '' HUP TERM; sleep 600"]}
        lost.send("Exec", {"command": {**command, "grace": 0.05}}, more=True)
        identity = lost.receive().parameters["id"]
        caller.send("WaitExec", {"id": identity})
        with descriptors_left(init, -3):
            lost.close()
            assert not select.select([caller.socket], [], [], 0.3)[0]
        assert caller.receive().parameters["status"] == {"signal": 9}


def test_no_process_left(init: Init, caller: Caller) -> None:
    """For a user other than root it is the user's own number that counts (setrlimit(2))."""
    limit = {"nproc": {"soft": 0, "hard": 0}}
    command = {"argv": ["sh", "-c", "true | true"], "user": "nobody", "rlimits": limit}
    assert caller.call("Run", command=command)["status"] != {"code": 0}
    assert caller.run("true", user="nobody")["status"] == {"code": 0}


@pytest.mark.parametrize("moment", [1, 30, 90, 150])
def test_a_client_killed_at_any_moment(init: Init, caller: Caller, moment: int) -> None:
    """Half a message, or a whole one, and then nothing."""
    with init.caller() as other:
        other.socket.send(
            b'{"method":"io.pyinit.Control.Exec","parameters":{"command":{"argv":["sleep","600"],'
            b'"grace":0}},"more":true}\0'[:moment]
        )
    until(lambda: caller.call("Describe")["container"]["execs"] == 0)


def test_many_execs_leave_nothing(init: Init) -> None:
    """One in ten is cut off; the fixture counts what is left."""

    def some(count: int) -> None:
        with init.caller() as caller:
            for number in range(count):
                if number % 10 == 0:
                    with init.caller() as lost:
                        lost.send("Exec", {"command": {"argv": ["sleep", "600"], "grace": 0}})
                done = caller.call("Exec", command={"argv": ["sh", "-c", f"exit {number % 200}"]})
                assert done["status"] == {"code": number % 200}

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(some, [MANY // 4] * 4))


@pytest.mark.slow
def test_ten_thousand_execs_leave_nothing(init: Init) -> None:
    for _ in range(10_000 // MANY):
        test_many_execs_leave_nothing(init)


def open_at_once(init: Init, caller: Caller, count: int) -> int:
    """Bytes of PID 1's own memory once all have been opened, and ended by leaving them."""
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(init.caller())
            client.send("Exec", {"command": {"argv": ["sleep", "600"], "grace": 0}}, more=True)
            assert client.receive().parameters["event"] == "started"
        assert caller.call("Describe")["container"]["execs"] == count
        if init.leaves():
            assert len(init.leaves()) >= count
    until(lambda: caller.call("Describe")["container"]["execs"] == 0)
    return init.resident()


@pytest.fixture
def still_shared() -> Iterator[None]:
    """A collection here writes to all that PID 1 was forked with, which makes that PID 1's own."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("still_shared")
def test_a_thousand_at_once(init: Init, caller: Caller) -> None:
    """What is kept of them is bounded: a second thousand takes next to nothing more.

    The first one takes what is kept, and PID 1 a copy of what it shared with this process. The
    fixture counts descriptors, processes and cgroups.
    """
    first = open_at_once(init, caller, 1000)
    assert open_at_once(init, caller, 1000) - first < MEMORY_OF_MORE


@pytest.mark.usefixtures("still_shared")
def test_bytes_pass_by_pid_1(init: Init, caller: Caller) -> None:
    """Neither its memory nor its CPU time grow with what runs through a pipe."""
    reading, writing = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 1 << 20)
    sink = os.open("/dev/null", os.O_WRONLY)
    size = 10 << 30
    memory, ticks = init.resident(), init.ticks()
    command = {"argv": ["dd", "if=/dev/zero", "bs=1M", f"count={size >> 20}"]}
    caller.send("Exec", {"command": command, "stdout": 0}, [writing], more=True)
    os.close(writing)
    caller.receive()
    total = 0
    while moved := os.splice(reading, sink, 1 << 20):
        total += moved
    os.close(reading)
    os.close(sink)
    assert total == size
    assert caller.receive().parameters["status"] == {"code": 0}
    assert init.ticks() - ticks <= 5
    assert init.resident() - memory < 4 << 20


def test_input_ends_and_output_is_whole(caller: Caller) -> None:
    (stdin, feed), (reading, writing) = os.pipe(), os.pipe()
    caller.send(
        "Exec", {"command": {"argv": ["cat"]}, "stdin": 0, "stdout": 1}, [stdin, writing], more=True
    )
    os.close(stdin)
    os.close(writing)
    caller.receive()
    content = bytes(range(256)) * 100
    os.write(feed, content)
    os.close(feed)
    text = b""
    while data := os.read(reading, 1 << 16):
        text += data
    os.close(reading)
    assert text == content
    assert caller.receive().parameters["status"] == {"code": 0}


def test_one_descriptor_for_both_outputs(caller: Caller) -> None:
    reading, writing = os.pipe()
    command = {"argv": ["sh", "-c", "echo out; echo err >&2"]}
    caller.send("Exec", {"command": command, "stdout": 0, "stderr": 0}, [writing])
    os.close(writing)
    assert caller.receive().parameters["status"] == {"code": 0}
    assert os.read(reading, 100) == b"out\nerr\n"
    os.close(reading)


def test_a_file_is_refused(caller: Caller) -> None:
    with open("/dev/null", "rb") as file:
        name, parameters = caller.fail(
            "Exec", fds=[file.fileno()], command={"argv": ["true"]}, stdout=0
        )
    assert (name, parameters["field"]) == ("InvalidArgument", "stdout")
    assert caller.fail("Exec", command={"argv": ["true"]}, stdin=3)[0] == "InvalidArgument"


def test_privileges_of_one_exec(caller: Caller) -> None:
    script = "grep -E 'CapBnd|NoNewPrivs' /proc/self/status; ulimit -n; umask"
    command = {
        "cap_drop": ["ALL"],
        "cap_add": ["CHOWN"],
        "rlimits": {"nofile": {"soft": 64, "hard": 65}},
        "umask": 0o77,
    }
    out = caller.run("bash", "-c", script, **command)["stdout"].split()
    assert out == ["CapBnd:", f"{1:016x}", "NoNewPrivs:", "1", "64", "0077"]
    assert caller.run("bash", "-c", "umask")["stdout"] == "0022\n"
