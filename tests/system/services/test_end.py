"""How services end: in which order, with what grace, whole; and what the container exits with."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.supervised import Stage, Supervised

pytestmark = pytest.mark.root

PYTHON = "/usr/bin/python3"

CHAIN = """
[services.database]
command = "sleep 1000"
[services.application]
command = "sleep 1000"
requires = ["database"]
[services.proxy]
command = "sleep 1000"
after = ["application"]
"""


def test_the_reverse_order(stage: Stage) -> None:
    with stage.run(CHAIN) as container:
        container.until_state("proxy", "running")
        follow = container.client.stream("Events", follow=True)
        events = [event for reply in [next(follow)] for event in reply["events"]]
        container.client.call("Shutdown")
        for reply in follow:
            events += reply["events"]
        stopped = [each["subject"] for each in events if each["kind"] == "stopped"]
        assert stopped == ["proxy", "application", "database"]
        assert container.end()["exit_code"] == 0


def test_stopping_one_stops_first_what_requires_it(stage: Stage) -> None:
    with stage.run(CHAIN) as container:
        container.until_state("proxy", "running")
        stage.host.ok("stop", container.name, "database")
        assert container.states() == {
            "database": "inactive",
            "application": "inactive",
            "proxy": "running",
        }
        assert container.order("stopped") == ["application", "database"]
        stage.host.ok("start", container.name, "application")
        assert set(container.states().values()) == {"running"}


STUBBORN = """
[services.stubborn]
command = "sh -c 'trap : TERM; echo trapped; while :; do sleep 0.1; done'"
stop-timeout = "1h"
"""


def wait_for_trap(container: Supervised) -> None:
    container.until(lambda: container.log("stubborn") == ["trapped"])


def init_of(container: Supervised) -> int:
    pid: int = container.host.state(container.name)["pid"]
    return pid


def test_a_second_term_takes_the_grace_away(stage: Stage) -> None:
    with stage.run(STUBBORN) as container:
        wait_for_trap(container)
        os.kill(init_of(container), signal.SIGTERM)
        container.until_state("stubborn", "stopping")
        (wait,) = container.why()
        assert (wait.service, wait.what) == ("stubborn", "has been asked to end, and has not")
        assert wait.left is not None
        assert wait.left > 3000
        os.kill(init_of(container), signal.SIGTERM)
        container.end()


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGPWR, int(signal.SIGRTMIN) + 3, int(signal.SIGRTMIN) + 4],
)
def test_every_signal_to_end_ends_in_order(stage: Stage, number: int) -> None:
    with stage.run(CHAIN) as container:
        container.until_state("proxy", "running")
        os.kill(init_of(container), number)
        assert container.end()["exit_code"] == 0


def test_a_time_limit_takes_the_grace_away(stage: Stage) -> None:
    with stage.run(STUBBORN) as container:
        wait_for_trap(container)
        stage.host.ok("stop", "--timeout", "0.3", container.name)


def test_a_stopped_process_ends_too(stage: Stage) -> None:
    with stage.run(CHAIN) as container:
        container.until_state("proxy", "running")
        stage.host.ok("signal", container.name, "database", "STOP")
        pid = container.service("database").pid
        container.until(lambda: f"{pid} (sleep) T" in container.output("cat", f"/proc/{pid}/stat"))
        stage.host.ok("stop", container.name)


ESCAPES = f"""
[services.parent]
kill-mode = "KIND"
command = ["{PYTHON}", "-c", '''
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open("/tmp/escaped", "w").write(str(os.getpid()))
        time.sleep(1000)
    os._exit(0)
os.wait()
time.sleep(1000)
''']
stop-timeout = "300ms"
"""


def escaped(container: Supervised) -> str:
    container.until(lambda: container.client.run(["test", "-s", "/tmp/escaped"]).returncode == 0)
    return container.output("cat", "/tmp/escaped")


def lives(container: Supervised, pid: str) -> bool:
    return container.client.run(["kill", "-0", pid]).returncode == 0


def test_what_escaped_by_setsid_ends_with_its_service(stage: Stage) -> None:
    with stage.run(ESCAPES.replace("KIND", "cgroup"), "--", "sleep", "1000") as container:
        pid = escaped(container)
        stage.host.ok("stop", container.name, "parent")
        assert not lives(container, pid)


def test_kill_mode_process_leaves_the_others(stage: Stage) -> None:
    with stage.run(ESCAPES.replace("KIND", "process"), "--", "sleep", "1000") as container:
        pid = escaped(container)
        stage.host.ok("stop", container.name, "parent")
        assert lives(container, pid)
        stage.host.ok("stop", "--timeout", "0.3", container.name)


def test_a_stop_command_comes_before_the_signal(stage: Stage) -> None:
    toml = """
    [services.web]
    command = "sleep 1000"
    stop-command = ["sh", "-c", "echo stopping $MAINPID; kill -INT $MAINPID"]
    """
    with stage.run(toml, "--", "sleep", "1000") as container:
        pid = container.until_state("web", "running").pid
        stage.host.ok("stop", container.name, "web")
        assert container.service("web").signal == signal.SIGINT
        container.until(lambda: container.log("web") == [f"stopping {pid}"])


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ('on-failure = "shutdown"', 7),
        ("essential = true", 7),
        ("", 7),
        ('on-failure = "ignore"', 0),
        ("success-exit-codes = [7]", 0),
    ],
)
def test_the_exit_code_says_what_failed(stage: Stage, settings: str, code: int) -> None:
    toml = f"""
    [services.work]
    command = "sh -c 'exit 7'"
    {settings}
    """
    with stage.run(toml) as container:
        assert container.end()["exit_code"] == code


def test_an_essential_service_takes_the_others_and_the_command_along(stage: Stage) -> None:
    toml = """
    [services.beside]
    command = "sleep 1000"
    [services.work]
    command = "sh -c 'until test -e /tmp/go; do sleep 0.05; done; exit 9'"
    essential = true
    """
    with stage.run(toml, "--", "sleep", "1000") as container:
        container.until(lambda: container.client.describe().state == "running")
        container.output("touch", "/tmp/go")
        assert container.end()["exit_code"] == 9


def test_the_commands_own_code_comes_first(stage: Stage) -> None:
    with stage.run(CHAIN, "--", "sh", "-c", "exit 4") as container:
        assert container.end()["exit_code"] == 4


def test_a_command_that_is_not_there_ends_the_services(stage: Stage) -> None:
    with stage.run(CHAIN, "--", "not-there") as container:
        assert container.end()["exit_code"] == 127
