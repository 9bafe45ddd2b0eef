"""Detached execs, what is kept of their output, and coming back to them."""

from __future__ import annotations

import base64
import os
import select
import struct
import termios
from fcntl import ioctl
from typing import Any

import pytest

from tests.support.controls import PATIENCE_S, Caller, Init, until

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("leaks_nothing")]


def detach(caller: Caller, script: str, **more: Any) -> str:
    command = {"argv": ["bash", "-c", script], "grace": 0.1}
    started = caller.call("Exec", command=command, detach=True, **more)
    assert started["event"] == "started"
    identity: str = started["id"]
    return identity


def read_until(descriptor: int, wanted: bytes) -> bytes:
    """All up to the text; or to the end where none is wanted."""
    text = b""
    while not wanted or wanted not in text:
        assert select.select([descriptor], [], [], PATIENCE_S)[0], text
        try:
            data = os.read(descriptor, 1 << 16)
        except OSError:  # EIO: a pty that no process has open
            break
        if not data:
            break
        text += data
    return text


class Attached:
    """AttachExec with two pipes."""

    def __init__(self, caller: Caller, identity: str) -> None:
        self.caller = caller
        self.stdout, out = os.pipe()
        self.stderr, err = os.pipe()
        caller.send("AttachExec", {"id": identity, "stdout": 0, "stderr": 1}, [out, err], more=True)
        os.close(out)
        os.close(err)
        reply = caller.receive()
        assert reply.error is None, (reply.error, reply.parameters)
        assert reply.parameters == {"event": "attached", "id": identity}

    def close(self) -> None:
        os.close(self.stdout)
        os.close(self.stderr)


def test_output_is_kept_and_goes_on(init: Init, caller: Caller) -> None:
    identity = detach(caller, "echo out; echo err >&2; read -t 60 <> <(:); echo never")
    with init.caller() as other:
        attached = Attached(other, identity)
        assert read_until(attached.stdout, b"\n") == b"out\n"
        assert read_until(attached.stderr, b"\n") == b"err\n"
        attached.close()
    # The second to come gets the same from the beginning.
    with init.caller() as other:
        attached = Attached(other, identity)
        assert read_until(attached.stdout, b"\n") == b"out\n"
        caller.call("SignalExec", id=identity, signal="KILL")
        assert read_until(attached.stdout, b"") == b""
        exited = other.receive().parameters
        assert exited == {"event": "exited", "id": identity, "status": {"signal": 9}}
        attached.close()
    kind, _ = caller.fail_more("AttachExec", id=identity)
    assert kind == "InvalidArgument"


def test_output_of_one_that_has_ended(caller: Caller) -> None:
    identity = detach(caller, "printf 'a\\0\\377b'; exit 5")
    assert caller.call("WaitExec", id=identity)["status"] == {"code": 5}
    attached = Attached(caller, identity)
    assert read_until(attached.stdout, b"") == b"a\0\xffb"
    assert caller.receive().parameters["status"] == {"code": 5}
    attached.close()


def test_only_the_newest_is_kept_and_the_rest_is_counted(caller: Caller) -> None:
    identity = detach(caller, "head -c 3000000 /dev/zero; echo end")
    caller.call("WaitExec", id=identity)
    attached = Attached(caller, identity)
    text = read_until(attached.stdout, b"end\n")
    dropped = caller.receive().parameters["dropped"]
    assert len(text) <= 1 << 20
    assert len(text) + dropped == 3000004
    attached.close()


def test_a_slow_reader_holds_up_nobody(init: Init, caller: Caller) -> None:
    identity = detach(caller, "sleep 0.1; yes | head -c 5000000; exit 3")
    attached = Attached(caller, identity)
    with init.caller() as other:
        assert other.call("WaitExec", id=identity)["status"] == {"code": 3}
    text = read_until(attached.stdout, b"")
    assert caller.receive().parameters["dropped"] == 5000000 - len(text)
    attached.close()


def test_one_client_at_a_time(init: Init, caller: Caller) -> None:
    identity = detach(caller, "sleep 600")
    attached = Attached(caller, identity)
    with init.caller() as other:
        assert other.fail_more("AttachExec", id=identity)[0] == "InUse"
        assert other.fail_more("AttachExec", id="none")[0] == "NotFound"
        other.call("SignalExec", id=identity, signal="TERM")
    assert caller.receive().parameters["status"] == {"signal": 15}
    attached.close()


def test_a_reader_that_closes_its_end_still_hears_the_status(init: Init, caller: Caller) -> None:
    identity = detach(caller, "sleep 0.2; yes | head -c 300000; exit 4")
    attached = Attached(caller, identity)
    attached.close()
    assert caller.receive().parameters["status"] == {"code": 4}


BUSY = "while :; do echo busy; done & echo $! >&2; exit 3"


def is_busy(output: bytes) -> bool:
    """The last line may be cut."""
    return (b"busy\n" * (len(output) // 5 + 1)).startswith(output)


def test_run_does_not_wait_for_what_goes_on_writing(caller: Caller) -> None:
    done = caller.run("bash", "-c", BUSY)
    assert done["status"] == {"code": 3}
    assert done["held"] is True
    assert is_busy(done["stdout"].encode())
    until(lambda: int(done["stderr"]) not in pids(caller))  # by SIGPIPE


def test_run_tells_that_nothing_was_left(caller: Caller) -> None:
    assert caller.run("echo", "all")["held"] is False


def test_run_waits_for_all_that_the_command_itself_wrote(caller: Caller) -> None:
    """A pipe that is full when the command ends, with somebody left at it."""
    for _ in range(20):
        done = caller.run("sh", "-c", "sleep 600 & echo $! >&2; head -c 65536 /dev/zero")
        assert len(done["stdout"]) == 65536
        assert done["held"] is True
        caller.call("SignalProcess", pid=int(done["stderr"]), signal="KILL")


def test_coming_back_does_not_wait_for_what_goes_on_writing(caller: Caller) -> None:
    identity = detach(caller, BUSY)
    reading = Attached(caller, identity)
    assert is_busy(read_until(reading.stdout, b""))
    pid = int(read_until(reading.stderr, b"\n"))
    exited = caller.receive().parameters
    assert (exited["status"], exited["held"]) == ({"code": 3}, True)
    reading.close()
    until(lambda: pid not in pids(caller))


def pids(caller: Caller) -> list[int]:
    return [each["pid"] for each in caller.call("ListProcesses")["processes"]]


def foreground(master: int) -> int:
    """The process group in the foreground of a pty."""
    group: int = struct.unpack("i", ioctl(master, termios.TIOCGPGRP, b"\0" * 4))[0]
    return group


def names(caller: Caller) -> set[str]:
    return {each["name"] for each in caller.call("ListProcesses")["processes"]}


SIZE = {"rows": 33, "columns": 101}


def test_a_detached_terminal_is_come_back_to(init: Init, caller: Caller) -> None:
    script = "stty size; echo ready; read line; echo got $line; stty size"
    identity = detach(caller, script, terminal=SIZE)
    with init.caller() as other:
        other.send("AttachExec", {"id": identity}, more=True)
        reply = other.receive()
        (master,) = reply.fds
        kept = base64.b64decode(reply.parameters["kept"])
        text = kept + (b"" if b"ready\r\n" in kept else read_until(master, b"ready\r\n"))
        assert text == b"33 101\r\nready\r\n"
        os.close(master)
    # The connection is lost: the exec goes on, and its output is kept again.
    with init.caller() as other:
        other.send("AttachExec", {"id": identity, "size": {"rows": 7, "columns": 8}}, more=True)
        (master,) = other.receive().fds
        os.write(master, b"hello\n")
        assert read_until(master, b"7 8\r\n") == b"hello\r\ngot hello\r\n7 8\r\n"
        assert other.receive().parameters["status"] == {"code": 0}
        os.close(master)


def test_clients_that_go_as_their_commands_end(init: Init, caller: Caller) -> None:
    """The answer has nowhere to go by then, and is nobody's trouble."""
    for _ in range(40):
        with init.caller() as client:
            client.send("Exec", {"command": {"argv": ["cat"]}, "terminal": SIZE}, more=True)
            started = client.receive()
            (master,) = started.fds
            caller.call("DetachExec", id=started.parameters["id"])
            os.write(master, b"\x04")  # the end of its input
            os.close(master)
    until(lambda: caller.call("Describe")["container"]["execs"] == 0)


def test_an_attached_terminal_is_detached_and_its_output_kept(init: Init, caller: Caller) -> None:
    with init.caller() as client:
        command = {"argv": ["bash", "-c", "echo first; read line; echo second; exit 6"]}
        client.send("Exec", {"command": command, "terminal": SIZE}, more=True)
        started = client.receive()
        (master,) = started.fds
        assert read_until(master, b"first\r\n") == b"first\r\n"
        identity = started.parameters["id"]
        caller.call("DetachExec", id=identity)
        os.write(master, b"\n")
        os.close(master)
    assert caller.call("WaitExec", id=identity)["status"] == {"code": 6}
    caller.send("AttachExec", {"id": identity}, more=True)
    reply = caller.receive()
    assert not reply.fds
    assert base64.b64decode(reply.parameters["kept"]) == b"\r\nsecond\r\n"
    assert caller.receive().parameters["status"] == {"code": 6}


def test_a_terminal_has_job_control_and_a_size(init: Init, caller: Caller) -> None:
    with init.caller() as client:
        argv = ["bash", "--norc", "--noprofile", "-i"]
        command = {"argv": argv, "environment": {"PS1": "$ "}, "grace": 0.2}
        client.send("Exec", {"command": command, "terminal": SIZE}, more=True)
        started = client.receive()
        (master,) = started.fds
        read_until(master, b"$ ")
        shell = foreground(master)
        os.write(master, b"sleep 600\n")
        read_until(master, b"sleep 600\r\n")
        # Between the two the job still ignores what a shell ignores.
        until(lambda: foreground(master) != shell and "sleep" in names(caller))
        os.write(master, b"\x1a")
        assert b"Stopped" in read_until(master, b"$ ")
        os.write(master, b"fg\n")
        read_until(master, b"sleep 600\r\n")
        until(lambda: foreground(master) != shell)
        # A signal for the exec goes to what is in the foreground, not to the shell.
        caller.call("SignalExec", id=started.parameters["id"], signal="INT")
        read_until(master, b"$ ")
        os.write(master, b"echo status $?\n")
        assert b"status 130" in read_until(master, b"status 130\r\n")
        termios.tcsetwinsize(master, (5, 6))
        os.write(master, b"stty size; tty\n")
        assert b"5 6\r\n/dev/pts/" in read_until(master, b"/dev/pts/")
        os.write(master, b"exit 9\n")
        assert client.receive().parameters["status"] == {"code": 9}
        os.close(master)


def test_a_closed_window_hangs_up(init: Init, caller: Caller) -> None:
    with init.caller() as client:
        script = "trap 'exit 3' HUP; echo ready; while :; do sleep 0.05; done"
        command = {"argv": ["bash", "-c", script], "grace": 5}
        client.send("Exec", {"command": command, "terminal": SIZE}, more=True)
        started = client.receive()
        (master,) = started.fds
        read_until(master, b"ready\r\n")
        os.close(master)
    assert caller.call("WaitExec", id=started.parameters["id"])["status"] == {"code": 3}
