"""Containers under test: made by pyinit-ctl as a user would, and always taken back."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyinit.errors import PyinitError
from tests.support.controls import Caller
from tests.support.ctl import ctl, start

_numbers = itertools.count(1)


class Host:
    """pyinit-ctl with a run folder of its own."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.made: list[str] = []

    def ctl(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """pyinit-ctl to its end; text goes in and comes out as bytes."""
        return ctl(self.run_dir, *words, **options)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """pyinit-ctl, started."""
        return start(self.run_dir, *words, **options)

    def ok(self, *words: str, **options: Any) -> str:
        """What pyinit-ctl printed; it must have succeeded."""
        done = self.ctl(*words, **options)
        assert done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)
        output: bytes = done.stdout
        return output.decode()

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words))

    def run(self, *words: str, name: str | None = None) -> str:
        """A detached container: its name, once its init answers, or has ended."""
        name = name or f"t{os.getpid()}-{next(_numbers)}"
        self.made.append(name)
        assert self.ok("run", "--detach", "--name", name, *words) == f"{name}\n"
        self.await_init(name)
        return name

    def await_init(self, name: str) -> None:
        """Return once init has loaded, which it does while the command runs already."""
        try:
            caller = Caller(Path(self.state(name)["control"]))
        except OSError:
            return  # it has ended, and its folder may be gone
        with caller, contextlib.suppress(OSError, PyinitError):
            caller.call("Describe")

    def inside(self, name: str, *words: str) -> str:
        """What a command in the container wrote; it must have succeeded."""
        return self.ok("exec", name, "--", *words)

    def state(self, name: str) -> Any:
        return json.loads((self.run_dir / name / "state.json").read_text())

    def exit(self, name: str) -> Any:
        return json.loads((self.run_dir / name / "exit.json").read_text())

    def clear(self) -> None:
        for name in self.made:
            self.ctl("rm", "--force", name)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host whose containers are gone after the test."""
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o700)
    found = Host(run_dir)
    yield found
    found.clear()
