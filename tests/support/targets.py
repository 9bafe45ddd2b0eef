"""One container, what pyinit-ctl runs in it, and what its init says of that."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import Any

from tests.support.containers import Host

PATIENCE_S = 20.0


class Target:
    """A container, and what its init says of its execs."""

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.name = name
        self.socket = str(host.run_dir / name / "control.sock")

    @property
    def init(self) -> int:
        """PID 1's number on the host."""
        pid: int = self.host.state(self.name)["pid"]
        return pid

    def execs(self) -> list[Any]:
        """All that are known, in the order of their start."""
        found: list[Any] = self.host.json("execs", "--json", self.name)
        return found

    def running(self) -> list[Any]:
        return [each for each in self.execs() if each["state"] == "running"]

    def exec(self, *words: str, **options: Any) -> Any:
        return self.host.ctl("exec", self.name, "--", *words, **options)

    def attach(self, identity: str, **options: Any) -> Any:
        return self.host.start("attach", self.name, identity, **options)

    def start(self, *words: str, options: tuple[str, ...] = (), **more: Any) -> Any:
        return self.host.start("exec", *options, self.name, "--", *words, **more)


def until(condition: Callable[[], object]) -> None:
    """Wait for it, with a limit."""
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def read_until(descriptor: int, wanted: bytes = b"") -> bytes:
    """What comes up to the wanted text; to the end where none is wanted."""
    data = b""
    while not wanted or wanted not in data:
        assert select.select([descriptor], [], [], PATIENCE_S)[0], data
        if not (more := os.read(descriptor, 1 << 16)):
            break
        data += more
    return data
