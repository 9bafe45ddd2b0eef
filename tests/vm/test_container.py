"""A whole container with limits and a bridge, in a kernel with cgroup v2 and every controller."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import DEVNULL, run

import pytest

from pyinit_ctl.blocking import BlockingClient
from tests.support import roots
from tests.support.containers import Host, host
from tests.support.disks import mounted_disk

__all__ = ["host"]

pytestmark = pytest.mark.vm(roots=("busybox",))

GROUPS = Path("/sys/fs/cgroup/pyinit")
# user-mode-linux has nftables for bridges only, so nothing is translated there.
BRIDGE = "bridge:pyitest0,nat=no"
LIMIT_S = 60.0


def until(reached: Callable[[], object], what: str) -> None:
    end = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < end, f"still not: {what}"
        time.sleep(0.05)


@pytest.fixture
def root() -> tuple[str, str]:
    return ("--layer", str(roots.busybox_root()))


def said(name: str, file: str) -> str:
    return (GROUPS / name / file).read_text().strip()


def test_limits_are_in_force_and_init_is_outside_of_them(host: Host, root: tuple[str, str]) -> None:
    limits = ("--memory", "64m", "--pids-limit", "32", "--cpus", "0.5")
    name = host.run(*limits, *root, "--", "/bin/sleep", "1000")
    assert said(name, "payload/memory.max") == str(64 << 20)
    assert said(name, "payload/pids.max") == "32"
    assert said(name, "payload/cpu.max") == "50000 100000"
    assert said(name, "init/memory.max") == "max"
    pid = str(host.state(name)["pid"])
    assert said(name, "init/cgroup.procs").split() == [pid]
    assert Path(f"/proc/{pid}/cgroup").read_text() == f"0::/pyinit/{name}/init\n"
    usage = host.json("stats", name, "--json")
    assert usage["source"] == "cgroup-v2"
    assert usage["memory_limit"] == 64 << 20
    assert usage["processes_limit"] == 32
    assert usage["oom_kills"] == 0
    host.ok("update", name, "--memory", "96m", "--pids-limit", "-1")
    assert said(name, "payload/memory.max") == str(96 << 20)
    assert said(name, "payload/pids.max") == "max"


def test_running_out_of_memory_ends_the_payload_only(host: Host, root: tuple[str, str]) -> None:
    name = host.run("--memory", "16m", *root, "--", "/bin/sleep", "1000")
    hungry = "x=a; while :; do x=$x$x; done"
    done = host.ctl("exec", name, "--", "/bin/sh", "-c", hungry)
    assert done.returncode == 137, done.stderr
    assert host.inside(name, "/bin/echo", "alive") == "alive\n"
    counts = dict(line.split() for line in said(name, "payload/memory.events").splitlines())
    assert int(counts["oom_kill"]) >= 1
    assert host.json("stats", name, "--json")["oom_kills"] >= 1
    told = [json.loads(line) for line in host.ok("events", "--json", name).splitlines()]
    assert any(each["kind"] == "oom" for each in told)


def test_no_more_processes_than_allowed(host: Host, root: tuple[str, str]) -> None:
    name = host.run("--pids-limit", "8", *root, "--", "/bin/sleep", "1000")
    script = "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 >/dev/null 2>&1 & done"
    done = host.ctl("exec", name, "--", "/bin/sh", "-c", script)
    assert b"fork" in done.stderr
    assert int(said(name, "payload/pids.current")) <= 8
    assert host.json("ps", name, "--json")


def test_a_slow_disk(host: Host, root: tuple[str, str], tmp_path: Path) -> None:
    """What is read without a limit is there while the container still reads."""
    size = 4 << 20
    with mounted_disk(tmp_path) as (device, at):
        (at / "file").write_bytes(b"x" * size)
        limit = ("--device-read-bps", f"{device}:65536", "-v", f"{at}:/data")
        name = host.run(*limit, *root, "--", "/bin/sleep", "1000")
        assert "rbps=65536" in said(name, "payload/io.max")
        read = ("of=/dev/null", "bs=64k", "iflag=direct")
        late = host.start("exec", name, "--", "dd", "if=/data/file", *read, stderr=DEVNULL)
        until(lambda: "rbytes=" in said(name, "payload/io.stat"), "reading")
        run(["dd", f"if={at}/file", *read], check=True, stderr=DEVNULL)
        assert late.poll() is None
        assert int(said(name, "payload/io.stat").partition("rbytes=")[2].split()[0]) < size
        late.kill()
        late.wait()
        host.clear()


def test_frozen_and_thawed(host: Host, root: tuple[str, str]) -> None:
    name = host.run(*root, "--", "/bin/sleep", "1000")
    host.ok("pause", name)
    assert host.json("ps", name, "--json")
    assert host.json("stats", name, "--json")
    # What comes later runs, until it is paused again.
    assert host.inside(name, "/bin/echo", "alive") == "alive\n"
    later = host.ok("exec", "--detach", name, "/bin/sleep", "1000").strip()
    assert frozen(name) == 1
    host.ok("pause", name)
    assert frozen(name) == 2
    host.ok("unpause", name)
    assert frozen(name) == 0
    assert host.inside(name, "/bin/echo", "alive") == "alive\n"
    host.ok("signal", name, later, "KILL")


def frozen(name: str) -> int:
    """How many of the commands are frozen."""
    events = (GROUPS / name / "payload").glob("*/cgroup.events")
    return sum("frozen 1" in file.read_text() for file in events)


def test_two_on_a_bridge_reach_each_other(host: Host, root: tuple[str, str]) -> None:
    serve = "while :; do echo hello | nc -l -p 80; done"
    web = host.run("--net", BRIDGE, "--memory", "64m", *root, "--", "/bin/sh", "-c", serve)
    asks = host.run("--net", BRIDGE, *root, "--", "/bin/sleep", "1000")
    address = host.state(web)["network"]["ipv4"]

    def answered() -> bool:
        done = host.ctl("exec", asks, "--", "/bin/nc", "-w", "2", address, "80")
        return bool(done.stdout == b"hello\n")

    until(answered, "an answer")


@pytest.mark.parametrize("userns", ["0:0:65536", "host"])
def test_all_of_it_goes_back(host: Host, root: tuple[str, str], userns: str) -> None:
    words = ("--net", BRIDGE, "--memory", "64m", "--userns", userns)
    name = host.run(*words, *root, "--", "/bin/sleep", "1000")
    assert host.inside(name, "/bin/id", "-u") == "0\n"
    assert said(name, "payload/memory.max") == str(64 << 20)
    pid = host.state(name)["pid"]
    owner = (GROUPS / name / "payload/memory.max").stat().st_uid
    assert owner == 0  # limits stay root's
    os.kill(pid, signal.SIGKILL)
    until(lambda: host.state(name).get("cleared"), "cleared by its waiter")
    assert not (GROUPS / name).exists()
    assert not Path("/sys/class/net/pyitest0").exists()


SERVICES = """
[services.ticking]
command = "sleep 0.1"
restart = "always"
backoff = { initial = "50ms", limit = "50ms" }
[services.checked]
command = "sleep 1000"
checks.well = { exec = "true", period = "100ms", action = "restart" }
stop-timeout = "1h"
"""


@pytest.fixture
def jump() -> Iterator[Callable[[float], None]]:
    """Sets the clock of this kernel so many seconds off; afterwards it is right again."""
    clock, begin, at = time.CLOCK_REALTIME, time.time(), time.monotonic()
    yield lambda seconds: time.clock_settime(clock, time.time() + seconds)
    time.clock_settime(clock, begin + time.monotonic() - at)


def test_the_clock_jumps(
    host: Host, root: tuple[str, str], tmp_path: Path, jump: Callable[[float], None]
) -> None:
    """By days, forth and back: restarts, checks and graces go by a clock that can't be set."""
    file = tmp_path / "services.toml"
    file.write_text(SERVICES)
    name = host.run(*root, "--services", str(file))
    with BlockingClient(str(host.run_dir / name / "control.sock")) as client:
        client.set_timeout(LIMIT_S)

        def restarts() -> int:
            found = {each["name"]: each for each in client.call("ListServices")["services"]}
            assert found["checked"]["restarts"] == 0
            assert found["checked"]["healthy"] is not False
            return int(found["ticking"]["restarts"])

        for days in (3, -6):
            jump(days * 86400)
            most = restarts() + 3
            until(lambda most=most: restarts() >= most, "restarted after the clock jumped")
            assert client.run(["/bin/echo", "alive"]).stdout == b"alive\n"
            assert 0 <= client.describe().uptime < 600
    host.ok("stop", name)
    assert host.exit(name)["exit_code"] == 0
