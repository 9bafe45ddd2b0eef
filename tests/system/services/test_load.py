"""Many services, many ends, many orphans: nothing is lost, and init answers all the while."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pyinit_ctl.blocking import BlockingClient
from tests.support.supervised import LIMIT_S, Stage, Supervised

pytestmark = [pytest.mark.root, pytest.mark.slow]

MANY = 500


@contextmanager
def asked_meanwhile(container: Supervised) -> Iterator[list[str]]:
    """Another client that asks one thing after the other, each of which has to be answered."""
    answers: list[str] = []
    over = threading.Event()

    def ask() -> None:
        socket = container.host.run_dir / container.name / "control.sock"
        with BlockingClient(str(socket)) as client:
            client.set_timeout(LIMIT_S)
            while not over.is_set():
                answers.append(client.describe().state)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        over.set()
        asking.join()


def test_five_hundred_services(stage: Stage) -> None:
    toml = "".join(
        f'[services.s{number}]\ncommand = "sleep 1000"\n'
        + (f'requires = ["s{number - 10}"]\n' if number >= 10 else "")
        for number in range(MANY)
    )
    with stage.run(toml) as container, asked_meanwhile(container) as answers:
        container.until(lambda: set(container.states().values()) == {"running"})
        assert len(container.states()) == MANY
        container.client.call("StopService", services=[f"s{number}" for number in range(10)])
        assert set(container.states().values()) == {"inactive"}
        container.client.call("StartService", services=[f"s{number}" for number in range(MANY)])
        assert set(container.states().values()) == {"running"}
        assert set(answers) <= {"starting", "running"}


def test_a_restart_storm(stage: Stage) -> None:
    toml = "".join(
        f"""
        [services.s{number}]
        command = "false"
        restart = "always"
        backoff = {{ initial = "10ms", limit = "100ms" }}
        """
        for number in range(40)
    )
    with stage.run(toml) as container:
        with asked_meanwhile(container) as answers:
            container.until(
                lambda: all(container.service(f"s{number}").restarts >= 5 for number in range(40))
            )
            assert answers
        stage.host.ok("stop", container.name)


ORPHANS = """
import os
for _ in range(100):
    if os.fork() == 0:
        for _ in range(100):
            if os.fork() == 0:
                os._exit(0)
        os._exit(0)
"""


def test_ten_thousand_orphans_at_once(stage: Stage) -> None:
    toml = '[services.web]\ncommand = "sleep 1000"\n'
    with stage.run(toml, "--pids-limit", "20000", "--", "sleep", "1000") as container:
        container.until_state("web", "running")
        with asked_meanwhile(container) as answers:
            script = ["/usr/bin/python3", "-c", ORPHANS]
            assert container.client.run(script).returncode == 0
            container.until(lambda: reaped(container) >= 10_000)
        assert answers
        assert [process for process in container.client.processes() if process.state == "Z"] == []
        assert container.service("web").restarts == 0


def reaped(container: Supervised) -> int:
    events = container.events()
    return sum(e["details"]["count"] for e in events if e["kind"] == "orphans-reaped")


def test_a_torrent_without_newlines(stage: Stage) -> None:
    toml = """
    [services.torrent]
    command = "cat /dev/zero"
    log = { max-size = "1M", max-files = 2 }
    [services.beside]
    command = "sh -c 'while sleep 0.2; do echo alive; done'"
    """
    with stage.run(toml) as container:
        with asked_meanwhile(container) as answers:
            folder = container.host.run_dir / container.name / "logs"
            container.until((folder / "torrent.log.1").exists)
            container.until(lambda: container.log("beside").count("alive") >= 3)
            sizes = [path.stat().st_size for path in folder.glob("torrent.log*")]
            assert sum(sizes) <= 2 << 20
            assert len(sizes) <= 2
            assert answers
        stage.host.ok("stop", "--timeout", "1", container.name)
