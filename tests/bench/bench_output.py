"""How fast a command's output goes through a pipe of the caller's, in the container and without.

make bench PYTEST_ARGS='-k output'
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.measure import in_turns, table
from tests.support.controls import Caller, running

pytestmark = pytest.mark.root

SIZE = 2 << 30
ROUNDS = int(os.environ.get("PYINIT_BENCH_ROUNDS", "20"))
HEAD = ["/usr/bin/head", "-c", str(SIZE), "/dev/zero"]


def read_all(reading: int) -> None:
    total = 0
    while data := os.read(reading, 1 << 20):
        total += len(data)
    os.close(reading)
    assert total == SIZE


def on_the_host() -> None:
    reading, writing = os.pipe()
    pid = os.posix_spawn(
        HEAD[0], HEAD, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)]
    )
    os.close(writing)
    read_all(reading)
    assert os.waitpid(pid, 0)[1] == 0


def by_exec(caller: Caller) -> Callable[[], None]:
    def run() -> None:
        reading, writing = os.pipe()
        caller.send("Exec", {"command": {"argv": HEAD}, "stdout": 0}, [writing])
        os.close(writing)
        read_all(reading)
        assert caller.receive().parameters["status"] == {"code": 0}

    return run


def test_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path, "bench-output") as init, init.caller() as caller:
        taken = in_turns({"on the host": on_the_host, "exec": by_exec(caller)}, ROUNDS)
    speed = {name: SIZE / 1e3 / sorted(each)[len(each) // 2] for name, each in taken.items()}
    with capsys.disabled():
        print("\n\n" + table(taken, "on the host"))
        print("\nMB/s: " + ", ".join(f"{name} {each:.0f}" for name, each in speed.items()))
        print(f"exec has {speed['exec'] / speed['on the host']:.2f} of the host's")
