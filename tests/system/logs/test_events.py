"""Events of real containers."""

from __future__ import annotations

import json
import os
import subprocess
from tempfile import TemporaryFile
from typing import Any

import pytest

from pyinit_ctl.blocking import BlockingClient
from tests.support.containers import Host
from tests.support.following import following

pytestmark = pytest.mark.root


def events(host: Host, name: str, *words: str) -> list[Any]:
    return [json.loads(line) for line in host.ok("events", "--json", *words, name).splitlines()]


def test_the_life_of_a_container(host: Host) -> None:
    name = host.run("--", "sleep", "1000")
    command = ["events", "-f", "--json", name]
    with (
        TemporaryFile() as errors,
        following(host, *command, stdout=subprocess.PIPE, stderr=errors) as follower,
    ):
        assert follower.stdout is not None
        output = follower.stdout.readline()  # it is connected
        host.ctl("exec", name, "sh", "-c", "exit 3")
        host.ok("kill", "--signal", "USR1", name)
        output += follower.stdout.read()
        assert (follower.wait(30), os.fstat(errors.fileno()).st_size) == (0, 0)
    found = [json.loads(line) for line in output.splitlines()]
    assert [event["number"] for event in found] == list(range(1, len(found) + 1))
    kinds = [event["kind"] for event in found]
    assert kinds[:5] == ["started", "ready", "exec-begun", "exec-ended", "exited"]
    assert kinds[-1] == "ended"
    by_kind = {event["kind"]: event for event in found}
    assert by_kind["started"]["details"]["argv"] == ["sleep", "1000"]
    assert by_kind["exec-begun"]["details"]["argv"] == ["sh", "-c", "exit 3"]
    assert by_kind["exec-ended"]["details"]["code"] == 3
    assert by_kind["exec-ended"]["subject"] == by_kind["exec-begun"]["subject"]
    assert by_kind["exited"]["details"] == {"signal": 10}


def test_who_comes_back_gets_what_it_lacks(host: Host) -> None:
    name = host.run()
    seen = events(host, name)[-1]["number"]
    host.inside(name, "true")
    new = events(host, name, "--after", str(seen))
    assert [event["number"] for event in new] == [seen + 1, seen + 2]
    assert events(host, name, "--after", str(seen + 2)) == []
    assert len(events(host, name, "--after", "1000000")) == seen + 2


def test_shutdown_says_how_far_it_is(host: Host) -> None:
    name = host.run("--", "sh", "-c", "trap '' TERM; while :; do sleep 1000; done")
    with following(host, "events", "-f", "--json", name, stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        output = follower.stdout.readline()
        host.ok("stop", "--timeout", "1", name)
        output += follower.stdout.read()
    found = [json.loads(line) for line in output.splitlines()]
    stages = [event["details"]["stage"] for event in found if event["kind"] == "shutdown"]
    assert [stage for stage in stages if stage != "services"] == [
        "asked",
        "main",
        "terminate",
        "kill",
    ]


def test_orphans_are_told_of(host: Host) -> None:
    name = host.run()
    host.inside(name, "sh", "-c", "(sleep 0.01 &) ; true")
    follow = ["events", "-f", "--json", name]
    with following(host, *follow, stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        for line in follower.stdout:
            event = json.loads(line)
            if event["kind"] == "orphans-reaped":
                break
    assert event["details"]["count"] == 1
    assert event["details"]["orphans"][0]["code"] == 0


def test_the_kernel_killing_for_memory_is_told(host: Host) -> None:
    hog = "x = bytearray(1 << 30)"
    name = host.run("--memory", "64m", "--memory-swap", "64m")
    with following(host, "events", "-f", "--json", name, stdout=subprocess.PIPE) as follower:
        assert host.ctl("exec", name, "/usr/bin/python3", "-c", hog).returncode == 137
        assert follower.stdout is not None
        found = (json.loads(line) for line in follower.stdout)
        assert next(each for each in found if each["kind"] == "oom")["details"] == {"killed": 1}


def test_stats_and_metrics_of_all(host: Host) -> None:
    names = {host.run(), host.run()}
    assert {each["name"] for each in host.json("stats", "--json")} == names
    assert all(name in host.ok("stats") for name in names)
    page = host.ok("metrics")
    assert all(f'pyinit_up{{container="{name}"}} 1.0' in page for name in names)


def test_who_reads_late_gets_the_last_event_all_the_same(host: Host) -> None:
    """Far more events than one reply holds come right before the end, and nobody reads yet."""
    name = host.run("--", "sh", "-c", "sleep 1000")
    with BlockingClient(str(host.run_dir / name / "control.sock")) as client:
        stream = client.stream("Events", follow=True)
        found = [event["number"] for event in next(stream)["events"]]
        last: list[str] = []
        for _ in range(100):
            client.run(["true"])
        client.call("Shutdown")
        for reply in stream:
            found += [event["number"] for event in reply["events"]]
            last = [event["kind"] for event in reply["events"]] or last
    assert found == list(range(1, len(found) + 1))
    assert len(found) > 200
    assert last[-1] == "ended"


def test_the_last_lines_come_through_the_socket_too(host: Host) -> None:
    name = host.run("--", "sh", "-c", "trap 'seq 1 20000; exit' TERM; echo up; sleep 1000 & wait")
    with BlockingClient(str(host.run_dir / name / "control.sock")) as client:
        stream = client.stream("Logs", follow=True)
        lines = [line["text"] for line in next(stream)["lines"]]
        while not lines:
            lines = [line["text"] for line in next(stream)["lines"]]
        client.call("Shutdown")
        lines += [line["text"] for reply in stream for line in reply["lines"]]
    assert lines[-1] == "20000"
    assert host.ok("logs", "-n1", name) == "20000\n"
