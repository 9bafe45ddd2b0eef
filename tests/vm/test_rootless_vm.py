"""An ordinary user to whom a part of cgroup2 was delegated: limits are in force there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyinit_ctl.blocking import BlockingClient
from tests.support import roots
from tests.support.ctl import LIMIT, environment
from tests.support.users import UID, User, user

__all__ = ["user"]

pytestmark = pytest.mark.vm(roots=("busybox",))

GIVEN = Path("/sys/fs/cgroup/given")
# What the kernel says to hand over, see /sys/kernel/cgroup/delegate.
FILES = ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control")
IN_SESSION = 'echo 0 >/sys/fs/cgroup/given/session/cgroup.procs; exec "$@"'


@pytest.fixture
def session() -> Iterator[None]:
    """A group of the user's own, and one below in which a login would be."""
    (GIVEN / "session").mkdir(parents=True)
    for group in (GIVEN, GIVEN / "session"):
        for name in FILES:
            os.chown(group / name, UID, UID)
    yield
    (GIVEN / "session").rmdir()
    GIVEN.rmdir()  # nothing but what root has made was left in it


def run(user: User, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", IN_SESSION, "sh", *user.words(*words)],
        env=environment(user.run_dir),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=4 * LIMIT,
    )


def ok(user: User, *words: str) -> str:
    done = run(user, *words)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def test_limits_of_a_users_container(user: User, session: None) -> None:
    limits = ("--memory", "24m", "--memory-swap", "24m", "--pids-limit", "16", "--cpus", "0.5")
    root = ("--layer", str(roots.busybox_root()))
    ok(user, "run", "-d", "--name", "mine", *limits, *root, "--", "/bin/sleep", "1000")
    payload = GIVEN / "pyinit" / "mine" / "payload"
    assert (payload / "memory.max").read_text() == f"{24 << 20}\n"
    assert (payload / "pids.max").read_text() == "16\n"
    assert (payload / "cpu.max").read_text() == "50000 100000\n"
    assert payload.stat().st_uid == UID
    socket = user.run_dir / "mine" / "control.sock"
    with BlockingClient(socket) as client:
        hungry = "x=a; while :; do x=$x$x; done"
        assert client.run(["/bin/sh", "-c", hungry]).returncode == -signal.SIGKILL
        many = "for n in 1 2 3 4 5 6 7 8 9 a b c d e f g h; do sleep 1000 >/dev/null 2>&1 & done"
        assert b"fork" in (client.run(["/bin/sh", "-c", many]).stderr or b"")
        assert int((payload / "pids.current").read_text()) <= 16
        usage = client.stats()
        assert usage.source == "cgroup-v2"
        assert usage.oom_kills == 1
        client.call("Freeze")
        assert "frozen 1" in (payload / "exec-0" / "cgroup.events").read_text()
        client.call("Thaw")
    state = json.loads((user.run_dir / "mine" / "state.json").read_text())
    pidfd = os.pidfd_open(state["pid"])
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    ok(user, "rm", "--force", "mine")
    assert not (GIVEN / "pyinit").exists()


def test_without_a_group_of_ones_own(user: User) -> None:
    root = ("--layer", str(roots.busybox_root()))
    assert "not delegated to you" in user.refused(
        "run", "--memory", "24m", *root, "--", "/bin/true"
    )
