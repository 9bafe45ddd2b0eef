"""`pyinit-ctl exec` from its start to its end, with everything that may go wrong between."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.containers import Host
from tests.support.targets import PATIENCE_S, Target, read_until, until

pytestmark = pytest.mark.root

PIPE = subprocess.PIPE


def cpu(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))


@pytest.mark.parametrize("moment", range(0, 60, 6))
def test_a_client_killed_at_any_moment(target: Target, moment: int) -> None:
    client = target.start("sleep", "600", options=("--grace", "0.1"), stdout=PIPE)
    time.sleep(moment / 1000)  # the moment is what differs; any is fine
    client.kill()
    assert client.wait(PATIENCE_S) == -signal.SIGKILL
    client.stdout.close()


def test_the_whole_tree_ends_with_a_killed_client(target: Target) -> None:
    script = "setsid sleep 600 & (setsid sleep 600 &); echo ready; wait"
    client = target.start("sh", "-c", script, options=("--grace", "0.1"), stdout=PIPE)
    assert client.stdout.readline() == b"ready\n"
    client.kill()
    client.wait(PATIENCE_S)
    assert client.stdout.read() == b""  # the last process that had it is gone
    client.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_for_the_command(target: Target, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done"
    client = target.start("sh", "-c", script, stdout=PIPE)
    assert client.stdout.readline() == b"ready\n"
    client.send_signal(number)
    assert client.communicate(timeout=PATIENCE_S)[0] == f"{name}\n".encode()
    assert client.returncode == 7


def test_init_killed_is_125_and_said(host: Host) -> None:
    target = Target(host, host.run())
    client = target.start("sh", "-c", "echo ready; sleep 600", stdout=PIPE, stderr=PIPE)
    assert client.stdout.readline() == b"ready\n"
    init = os.pidfd_open(target.init)
    signal.pidfd_send_signal(init, signal.SIGKILL)
    os.close(init)
    out, err = client.communicate(timeout=PATIENCE_S)
    assert (client.returncode, out) == (125, b"")
    assert err.startswith(b"pyinit-ctl: ")
    assert err.count(b"\n") == 1


@pytest.mark.parametrize("verb", ["kill", "stop"])
def test_the_end_of_the_container_is_no_success(host: Host, verb: str) -> None:
    target = Target(host, host.run())
    client = target.start("sh", "-c", "echo ready; exec sleep 600", stdout=PIPE)
    assert client.stdout.readline() == b"ready\n"
    host.ok(verb, target.name)
    client.communicate(timeout=PATIENCE_S)
    assert client.returncode in {125, 137, 143}


def test_a_closed_stdout_is_seen_at_once(target: Target) -> None:
    client = target.start(
        "sh", "-c", "echo x; exec >&-; read y", stdin=PIPE, stdout=PIPE, options=("-i",)
    )
    assert read_until(client.stdout.fileno(), b"") == b"x\n"
    assert client.poll() is None
    assert client.communicate(b"\n", timeout=PATIENCE_S)
    assert client.returncode == 0


def test_a_grandchild_with_the_pipe_holds_up_nothing_but_the_pipe(target: Target) -> None:
    script = "sleep 600 & echo $!; exit 3"
    client = target.start("sh", "-c", script, stdout=PIPE)
    pid = int(client.stdout.readline())
    assert client.wait(PATIENCE_S) == 3
    assert not select.select([client.stdout], [], [], 0)[0]
    assert target.exec("kill", str(pid)).returncode == 0
    assert client.stdout.read() == b""
    client.stdout.close()


def test_a_grandchild_with_our_relay_is_told(target: Target, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        done = target.exec("sh", "-c", "sleep 600 2>&1 & echo $!; exit 3", stdout=out)
    assert done.returncode == 3
    assert b"a process it left behind holds its output" in done.stderr
    pid = (tmp_path / "out").read_text().strip()
    assert target.exec("kill", pid).returncode == 0


@pytest.mark.parametrize("sink", ["pipe", "file"])
def test_a_grandchild_that_goes_on_writing_holds_up_nothing(
    target: Target, tmp_path: Path, sink: str
) -> None:
    with (tmp_path / "out").open("wb") as out:
        client = target.start(
            "sh",
            "-c",
            "yes & echo $! >&2; exit 3",
            stdout=PIPE if sink == "pipe" else out,
            stderr=PIPE,
        )
    pid = client.stderr.readline().decode().strip()
    assert client.wait(PATIENCE_S) == 3
    if sink == "pipe":
        assert client.stdout.read(2) == b"y\n"  # it is at the pipe, and goes on
        client.stdout.close()
    else:
        assert b"a process it left behind holds its output" in client.stderr.read()
    client.stderr.close()
    until(lambda: target.exec("kill", "-0", pid, stderr=PIPE).returncode)


def test_a_slow_reader_slows_only_itself(target: Target) -> None:
    slow = target.start("yes", stdout=PIPE)
    assert slow.stdout.read(2) == b"y\n"
    for _ in range(5):
        assert target.exec("echo", "quick").stdout == b"quick\n"
    slow.stdout.close()
    assert slow.wait(PATIENCE_S) == 128 + signal.SIGPIPE


def test_half_close(target: Target) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        client = target.start(
            "sh", "-c", "cat; echo end; exit 6", options=("-i",), stdin=theirs, stdout=theirs
        )
        theirs.close()
        ours.sendall(b"bytes\0\xff")
        assert read_until(ours.fileno(), b"\xff") == b"bytes\0\xff"
        ours.shutdown(socket.SHUT_WR)
        assert read_until(ours.fileno(), b"") == b"end\n"
    assert client.wait(PATIENCE_S) == 6


def test_binary_both_ways_and_stderr_apart(target: Target) -> None:
    data = os.urandom(3 << 20)
    done = target.host.ctl(
        "exec", "-i", target.name, "--", "sh", "-c", "tee /dev/stderr", input=data
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, data, data)


def test_gigabytes_are_none_of_pid_1s_business(target: Target, tmp_path: Path) -> None:
    """A pipe is the command's own; what goes to a file, the client moves."""
    before = cpu(target.init), memory(target.init)
    size = 2 << 30
    client = target.start("head", "-c", str(size), "/dev/zero", stdout=PIPE)
    total = 0
    while data := os.read(client.stdout.fileno(), 1 << 20):
        total += len(data)
    assert (client.wait(PATIENCE_S), total) == (0, size)
    client.stdout.close()
    with (tmp_path / "out").open("wb") as out:
        assert target.exec("head", "-c", str(64 << 20), "/dev/zero", stdout=out).returncode == 0
    assert (tmp_path / "out").stat().st_size == 64 << 20
    assert cpu(target.init) - before[0] < 50
    assert memory(target.init) - before[1] < 4 << 20


@pytest.mark.parametrize("kind", ["pipe", "file", "terminal"])
def test_nothing_is_cut_off_at_the_end(target: Target, tmp_path: Path, kind: str) -> None:
    """The last that a command writes, right before it ends."""
    words = ["exec", *(["-t"] if kind == "terminal" else []), target.name, "--", "seq", "5000"]
    wanted = b"".join(b"%d\n" % number for number in range(1, 5001))
    for _ in range(20):
        if kind == "file":
            with (tmp_path / "out").open("wb") as out:
                assert target.host.ctl(*words, stdout=out).returncode == 0
            found = (tmp_path / "out").read_bytes()
        else:
            found = target.host.ctl(*words).stdout
        assert found.replace(b"\r\n", b"\n") == wanted


def test_a_full_disk_is_said(target: Target) -> None:
    with open("/dev/full", "wb") as full:
        done = target.exec("seq", "50000", stdout=full)
    assert done.returncode == 125
    assert b"could not be written: No space left on device" in done.stderr


def test_a_reader_that_goes_away_ends_the_command_as_a_pipe_does(target: Target) -> None:
    client = target.start("yes", stdout=PIPE)
    client.stdout.read(2)
    client.stdout.close()
    assert client.wait(PATIENCE_S) == 141
    until(lambda: not target.running())


def test_a_terminal_that_goes_away_is_no_end_of_file(target: Target) -> None:
    """It hangs up the command, also before SIGHUP comes: here there is none."""
    master, slave = os.openpty()
    script = "trap 'exit 3' HUP; echo ready; sleep 600 & wait"
    client = target.start(
        "sh", "-c", script, options=("-it",), stdin=slave, stdout=slave, stderr=PIPE
    )
    os.close(slave)
    read_until(master, b"ready")
    os.close(master)
    assert client.wait(PATIENCE_S) == -signal.SIGHUP
    client.stderr.close()
    until(lambda: not target.running())
    assert target.execs()[-1]["status"]["code"] == 3
