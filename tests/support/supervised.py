"""Containers with services, watched through their control socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.results import convert
from pyinit_ctl.service_results import Awaited, Service
from tests.support.containers import Host

LIMIT_S = 60.0


class Supervised:
    """A running container whose services are asked for."""

    def __init__(self, host: Host, name: str, client: BlockingClient) -> None:
        self.host = host
        self.name = name
        self.client = client

    def service(self, name: str) -> Service:
        answer = self.client.call("ListServices", services=[name])
        return convert(answer, "services", list[Service])[0]

    def states(self) -> dict[str, str]:
        answer = self.client.call("ListServices")
        return {each.name: each.state for each in convert(answer, "services", list[Service])}

    def until(self, condition: Callable[[], object]) -> None:
        """Return once the condition holds; fails after LIMIT_S."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, (self.client.call("ListServices"), self.events())
            time.sleep(0.02)

    def until_state(self, name: str, state: str) -> Service:
        self.until(lambda: self.service(name).state == state)
        return self.service(name)

    def events(self) -> list[Any]:
        return [each for reply in self.client.stream("Events") for each in reply["events"]]

    def order(self, kind: str) -> list[str]:
        """The services that an event of the kind was told of, in order."""
        return [each["subject"] for each in self.events() if each["kind"] == kind]

    def why(self) -> list[Awaited]:
        return convert(self.client.call("Why"), "waits", list[Awaited])

    def output(self, *words: str) -> str:
        """What a command in the container writes."""
        done = self.client.run(list(words))
        assert done.returncode == 0, done
        return (done.stdout or b"").decode()

    def log(self, service: str) -> list[str]:
        """The texts of the service's log file."""
        path = self.host.run_dir / self.name / "logs" / f"{service}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split(" ", 3)[3] for line in lines]

    def end(self) -> Any:
        """Wait for the container's end: how it ended."""
        deadline = time.monotonic() + LIMIT_S
        path = self.host.run_dir / self.name / "exit.json"
        while not path.exists() or not path.read_bytes():
            assert time.monotonic() < deadline, self.why()
            time.sleep(0.02)
        return self.host.exit(self.name)


class Stage:
    """Makes containers with services, on one host."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.folder = folder

    def write(self, toml: str) -> str:
        path = self.folder / "services.toml"
        path.write_text(toml)
        return str(path)

    @contextmanager
    def run(self, toml: str, *words: str) -> Iterator[Supervised]:
        name = self.host.run("--services", self.write(toml), *words)
        socket = self.host.run_dir / name / "control.sock"
        with BlockingClient(str(socket)) as client:
            yield Supervised(self.host, name, client)


@pytest.fixture
def stage(host: Host, tmp_path: Path) -> Stage:
    return Stage(host, tmp_path)
