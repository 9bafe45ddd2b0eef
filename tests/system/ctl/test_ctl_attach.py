"""`exec -d` and `attach`: leaving a command alone, and coming back to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.targets import PATIENCE_S, Target, until

pytestmark = pytest.mark.root

PIPE = subprocess.PIPE


def detached(target: Target, script: str, *options: str) -> str:
    return target.host.ok("exec", "-d", *options, target.name, "--", "sh", "-c", script).strip()


def test_kept_output_what_follows_and_the_status(target: Target) -> None:
    script = "echo before; echo wrong >&2; read x </tmp/go; echo after; exit 5"
    target.exec("mkfifo", "/tmp/go")
    identity = detached(target, script)
    client = target.attach(identity, stdout=PIPE, stderr=PIPE)
    assert client.stdout.readline() == b"before\n"
    assert client.stderr.readline() == b"wrong\n"
    target.exec("sh", "-c", "echo >/tmp/go; rm /tmp/go")
    assert client.communicate(timeout=PATIENCE_S) == (b"after\n", b"")
    assert client.returncode == 5


def test_of_one_that_has_ended(target: Target, tmp_path: Path) -> None:
    identity = detached(target, "printf 'a\\0b'; exit 6")
    assert target.host.ctl("wait", target.name, identity).stdout == b"6\n"
    with (tmp_path / "out").open("wb") as out:
        assert target.host.ctl("attach", target.name, identity, stdout=out).returncode == 6
    assert (tmp_path / "out").read_bytes() == b"a\0b"
    again = target.host.ctl("attach", target.name, identity)
    assert again.returncode == 125
    assert b"collected" in again.stderr


def test_the_command_goes_on_without_the_client(target: Target) -> None:
    identity = detached(target, "echo first; exec sleep 600")
    client = target.attach(identity, stdout=PIPE)
    assert client.stdout.readline() == b"first\n"
    client.kill()
    client.communicate()
    assert [each["id"] for each in target.running()] == [identity]
    target.host.ok("signal", target.name, identity, "KILL")
    assert target.host.ctl("attach", target.name, identity).returncode == 137


def test_what_was_dropped_is_told(target: Target) -> None:
    identity = detached(target, "seq 400000")
    target.host.ctl("wait", target.name, identity)
    done = target.host.ctl("attach", target.name, identity)
    assert done.returncode == 0
    assert done.stdout.endswith(b"\n400000\n")
    assert len(done.stdout) <= 1 << 20
    assert b"bytes of output are missing" in done.stderr


def test_a_terminal_seen_through_a_pipe(target: Target) -> None:
    identity = detached(target, "tty; stty size; exit 7", "-t")
    until(lambda: not target.running())
    done = target.host.ctl("attach", target.name, identity)
    assert done.returncode == 7
    assert done.stdout.startswith(b"/dev/pts/")
    assert done.stdout.endswith(b"\r\n24 80\r\n")


def test_one_at_a_time(target: Target) -> None:
    identity = detached(target, "echo here; exec sleep 600")
    client = target.attach(identity, stdout=PIPE)
    assert client.stdout.readline() == b"here\n"
    other = target.host.ctl("attach", target.name, identity)
    assert other.returncode == 125
    assert b"attachment" in other.stderr
    target.host.ok("signal", target.name, identity, "TERM")
    client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 143


def test_no_such_exec(target: Target) -> None:
    done = target.host.ctl("attach", target.name, "nothing")
    assert done.returncode == 125
    assert done.stderr.count(b"\n") == 1
    assert b"no exec 'nothing'" in done.stderr


def test_attached_execs_are_not_to_be_attached_to(target: Target) -> None:
    client = target.start("sh", "-c", "echo here; exec sleep 600", stdout=PIPE)
    client.stdout.readline()
    (found,) = target.running()
    done = target.host.ctl("attach", target.name, found["id"])
    assert done.returncode == 125
    assert b"attached" in done.stderr
    client.kill()
    client.communicate()
