"""ExecStream: an exec over one byte stream, against a real PID 1."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from pyinit.varlink import stream
from pyinit.varlink.stream import ClientStream
from tests.support.controls import Caller, Init, until

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("leaks_nothing")]


class Conversation:
    """The client's side."""

    def __init__(self, caller: Caller, *argv: str, **more: Any) -> None:
        command = {"argv": argv, "grace": 0.1, **more.pop("command", {})}
        self.socket = caller.socket
        caller.send("ExecStream", {"command": command, **more}, upgrade=True)
        reply = caller.receive()
        assert reply.error is None, (reply.error, reply.parameters)
        self.id = reply.parameters["id"]
        self.stream = ClientStream()
        self.output = {stream.STDOUT: b"", stream.STDERR: b""}
        self.last: tuple[int, Any] | None = None
        self._take(caller.rest())

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            self.stream.end()
        self._take(data)

    def _take(self, data: bytes) -> None:
        for kind, payload in self.stream.feed(data):
            if kind in self.output:
                self.output[kind] += payload
            elif kind != stream.CREDIT:
                self.last = kind, json.loads(payload)

    def read_until(self, wanted: bytes) -> None:
        while wanted not in self.output[stream.STDOUT]:
            self.read()

    def finish(self) -> Any:
        while self.last is None:
            self.read()
        return self.last

    def feed(self, data: bytes) -> None:
        """Standard input, as credit comes, and its end."""
        while data:
            while not self.stream.credit:
                self.read()
            size = min(self.stream.credit, stream.PAYLOAD_LIMIT)
            self.send(self.stream.stdin(data[:size]))
            data = data[size:]
        self.send(self.stream.stdin(b""))


def test_output_and_status(caller: Caller) -> None:
    one = Conversation(caller, "sh", "-c", "printf 'a\\0\\377'; echo err >&2; exit 7")
    assert one.finish() == (stream.EXIT, {"status": {"code": 7}})
    assert one.output == {stream.STDOUT: b"a\0\xff", stream.STDERR: b"err\n"}


def test_who_writes_after_the_end_meets_no_broken_pipe(caller: Caller) -> None:
    """socat ends at one, and does not pass on what it has not read yet."""
    one = Conversation(caller, "true", stdin=True)
    # The last frame is there, and the end behind it, when more is sent.
    assert one.finish() == (stream.EXIT, {"status": {"code": 0}})
    assert one.socket.recv(1) == b""
    for _ in range(3):
        one.send(one.stream.stdin(b"more"))
    one.send(b"not even a frame")


def test_the_end_is_read_behind_what_was_written_too_late(init: Init, caller: Caller) -> None:
    one = Conversation(caller, "sh", "-c", "exit 3", stdin=True)
    with init.caller() as other:
        until(lambda: other.call("Describe")["container"]["execs"] == 0)
    one.send(one.stream.stdin(b"x" * 1000))
    one.send(one.stream.stdin(b""))
    assert one.finish() == (stream.EXIT, {"status": {"code": 3}})


WRITER = """
import contextlib, fcntl, os, sys
left = 0
if sys.argv[1:] and not (left := os.fork()):
    os.execvp("sleep", ["sleep", "600"])
for output in (1, 2):
    with contextlib.suppress(PermissionError):  # where root's pipes hold too much already
        fcntl.fcntl(output, 1031, 1 << 20)  # F_SETPIPE_SZ: as much as anybody may have
    os.write(output, b"%-1048576d" % left)
"""


@pytest.mark.parametrize("held", [False, True], ids=["alone", "held"])
def test_all_that_was_left_in_the_pipes_is_sent(init: Init, caller: Caller, held: bool) -> None:
    one = Conversation(caller, "python3", "-c", WRITER, *["held"] * held)
    assert one.finish() == (stream.EXIT, {"status": {"code": 0}})
    sizes = {kind: len(output) for kind, output in one.output.items()}
    if held:
        with init.caller() as other:
            pid = int(one.output[stream.STDOUT])
            other.call("SignalProcess", pid=pid, signal="KILL")
    assert sizes == {stream.STDOUT: 1 << 20, stream.STDERR: 1 << 20}


def test_input_beyond_what_pipes_hold(caller: Caller) -> None:
    content = bytes(range(256)) * 4000
    one = Conversation(caller, "cat", stdin=True)
    one.feed(content)
    assert one.finish() == (stream.EXIT, {"status": {"code": 0}})
    assert one.output[stream.STDOUT] == content


def test_no_input_is_dev_null(caller: Caller) -> None:
    one = Conversation(caller, "readlink", "/proc/self/fd/0")
    assert one.finish()[1] == {"status": {"code": 0}}
    assert one.output[stream.STDOUT] == b"/dev/null\n"


def test_a_command_that_reads_nothing_can_be_signalled(caller: Caller) -> None:
    one = Conversation(caller, "sleep", "600", stdin=True)
    while one.stream.credit:
        one.send(one.stream.stdin(b"x" * min(one.stream.credit, stream.PAYLOAD_LIMIT)))
        if one.stream.credit == 0:
            break
    one.send(stream.encode(stream.SIGNAL, b"USR1"))
    assert one.finish()[1] == {"status": {"signal": 10}}


def test_a_terminal(caller: Caller) -> None:
    script = "stty size; read line; stty size; cat; exit 3"
    one = Conversation(caller, "bash", "-c", script, terminal={"rows": 5, "columns": 6}, stdin=True)
    one.read_until(b"5 6\r\n")
    one.send(stream.encode_size(7, 8))
    one.send(one.stream.stdin(b"go\n"))
    one.read_until(b"7 8\r\n")
    one.send(one.stream.stdin(b""))
    assert one.finish() == (stream.EXIT, {"status": {"code": 3}})


def test_a_timeout(caller: Caller) -> None:
    one = Conversation(caller, "sleep", "600", command={"timeout": 0.2})
    assert one.finish()[1] == {"status": {"signal": 15}, "timed_out": True}


def test_a_lost_stream_ends_the_exec(init: Init, caller: Caller) -> None:
    with init.caller() as other:
        Conversation(other, "sleep", "600", stdin=True)
    until(lambda: caller.call("Describe")["container"]["execs"] == 0)


def test_what_is_against_the_rules_is_told(init: Init, caller: Caller) -> None:
    for wrong in (b"\x63\0\0\0\0", b"\0\xff\0\0\0", stream.encode(stream.SIGNAL, b"NONE")):
        with init.caller() as other:
            one = Conversation(other, "sleep", "600")
            one.send(wrong)
            kind, error = one.finish()
            assert kind == stream.ERROR
            assert error["error"].startswith("io.pyinit.Control.")
    until(lambda: caller.call("Describe")["container"]["execs"] == 0)


def test_a_detached_stream_is_come_back_to(init: Init, caller: Caller) -> None:
    with init.caller() as other:
        one = Conversation(other, "sh", "-c", "echo one; while :; do sleep 0.05; done")
        one.read_until(b"one\n")
        caller.call("DetachExec", id=one.id)
    reading, writing = os.pipe()
    until(lambda: caller.call("ListExecs")["execs"][-1]["state"] == "running")
    until(lambda: attach(caller, one.id, writing))
    os.close(writing)
    with init.caller() as other:
        other.call("SignalExec", id=one.id, signal="KILL", all=True)
    assert caller.receive().parameters["status"] == {"signal": 9}
    os.close(reading)


def attach(caller: Caller, identity: str, writing: int) -> bool:
    """Whether that could be done already: the loss of the connection may still be on its way."""
    caller.send("AttachExec", {"id": identity, "stdout": 0}, [writing], more=True)
    return caller.receive().error is None


def test_it_takes_an_upgrade(caller: Caller) -> None:
    assert caller.fail("ExecStream", command={"argv": ["true"]})[0] == "InvalidArgument"


def test_a_command_that_is_not_there(caller: Caller) -> None:
    """The connection is as it was."""
    caller.send("ExecStream", {"command": {"argv": ["nonesuch"]}}, upgrade=True)
    reply = caller.receive()
    assert reply.error is not None
    assert reply.error.endswith("CommandNotFound")
    assert caller.run("echo", "on")["stdout"] == "on\n"
