"""Everything goes back when the last process goes: after any end, by whoever comes next."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.containers import Host

pytestmark = pytest.mark.root

LIMIT_S = 30.0


def until(reached: object, what: str) -> None:
    """Waits for an event that nobody announces."""
    end = time.monotonic() + LIMIT_S
    while not reached():  # type: ignore[operator]
        assert time.monotonic() < end, f"still not: {what}"
        time.sleep(0.02)


def cleared(host: Host, name: str) -> bool:
    return bool(host.state(name).get("cleared"))


def remains(host: Host, state: dict[str, object]) -> list[str]:
    """What of a container is on the host still."""
    paths = [*state["cgroups"], str(state["control"])]  # type: ignore[misc]
    if network := state.get("network"):
        paths.append(f"/sys/class/net/{network['host_interface']}")  # type: ignore[index]
        paths.append(str(host.run_dir / "networks" / f"{network['bridge']}.json"))  # type: ignore[index]
    return [path for path in paths if os.path.lexists(path)]


FULL = ("--net", "bridge:pyitest1", "--userns", "auto", "--memory", "64m", "-p", "18080:80")


def test_a_detached_container_is_cleared_with_nobody_asking(host: Host) -> None:
    name = host.run(*FULL, "--", "sleep", "1000")
    state = host.state(name)
    assert len(remains(host, state)) == len(state["cgroups"]) + 3
    os.kill(state["pid"], signal.SIGKILL)
    until(lambda: cleared(host, name), "cleared")
    assert remains(host, state) == []
    assert host.exit(name)["reason"] == "init was killed"


def test_one_that_was_to_be_removed_is_gone_with_nobody_asking(host: Host) -> None:
    name = host.run("--rm", "--", "true")
    until(lambda: not (host.run_dir / name).exists(), "removed")


def test_gc_clears_what_the_dead_left_and_nothing_else(host: Host) -> None:
    stays = host.run("--net", "bridge:pyitest1", "--", "sleep", "1000")
    made = host.start("run", "--name", "lost", *FULL, "--", "sleep", "1000")
    host.made.append("lost")
    until((host.run_dir / "lost/state.json").exists, "made")
    until(lambda: host.state("lost")["pid"], "running")
    state = host.state("lost")
    made.kill()  # the controller first, so nobody is left who would clear
    made.wait()
    os.kill(state["pid"], signal.SIGKILL)
    until(lambda: not _alive(state["pid"]), "dead")
    assert host.json("gc", "--json") == {"cleared": ["lost"]}
    assert [path for path in remains(host, state) if "pyitest1" not in path] == []
    assert host.inside(stays, "ip", "-br", "addr", "show", "eth0")
    assert host.json("gc", "--json") == {"cleared": []}


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("verb", [("ls",), ("run", "--rm", "--", "true"), ("gc",)])
def test_whoever_comes_next_clears(host: Host, verb: tuple[str, ...]) -> None:
    made = host.start("run", "--name", "left", "--memory", "64m", "--", "sleep", "1000")
    host.made.append("left")
    until((host.run_dir / "left/state.json").exists, "made")
    until(lambda: host.state("left")["pid"], "running")
    state = host.state("left")
    made.kill()
    made.wait()
    os.kill(state["pid"], signal.SIGKILL)
    until(lambda: not _alive(state["pid"]), "dead")
    host.ok(*verb)
    assert remains(host, state) == []


MOMENTS = ("logs", "root", "control.sock", "state.json", "hosts", "resolv.conf")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_launch_that_was_killed_half_way_leaves_nothing(host: Host, moment: str) -> None:
    made = host.start("run", "--name", "half", *FULL, "--", "sleep", "1000")
    place = host.run_dir / "half"
    until((place / moment).exists, moment)
    made.kill()
    made.wait()
    until(lambda: not _answers(place), "no init")
    host.ok("gc")
    if place.exists():  # it was ready already: then it has an end that stays
        assert remains(host, host.state("half")) == []
        host.ok("rm", "half")
    assert host.json("ls", "--json") == []
    assert not (host.run_dir / "networks/pyitest1.json").exists()
    assert not list(Path("/sys/fs/cgroup").glob("*/pyinit/half"))


def _answers(place: Path) -> bool:
    state = place / "state.json"
    try:
        pid = json.loads(state.read_text())["pid"]
    except (OSError, ValueError):
        return False
    if pid and _alive(pid):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def test_a_frozen_container_is_cleared_too(leaves_nothing: object, host: Host) -> None:
    name = host.run("--", "sleep", "1000")
    host.ok("pause", name)
    state = host.state(name)
    os.kill(state["pid"], signal.SIGKILL)
    host.ok("rm", "--force", name)
    assert remains(host, state) == []
