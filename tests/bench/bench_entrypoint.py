"""From the start of an entrypoint to its payload's first instruction, and what it then holds."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.bench.measure import table
from tests.support.inits import PYINIT, environment, until
from tests.support.varlink_call import call

pytestmark = pytest.mark.package("tini", "dumb-init", "gcc", "libc6-dev")

ROUNDS = 50
# Prints the clock as its first act; static, so that no loader is measured.
STAMP = """
#include <stdio.h>
#include <time.h>
int main(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%lld", now.tv_sec * 1000000000LL + now.tv_nsec);
    return 0;
}
"""


@pytest.fixture(scope="session")
def stamp(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("stamp")
    (folder / "stamp.c").write_text(STAMP)
    subprocess.run(["gcc", "-O2", "-static", "-o", "stamp", "stamp.c"], cwd=folder, check=True)
    return str(folder / "stamp")


@pytest.fixture
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Bytecode is cached, as in an installation."""
    kept = {key: value for key, value in environment().items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.getbasetemp() / "pycache")}


def to_payload(command: list[str], env: Mapping[str, str]) -> float:
    begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True)
    return (int(done.stdout) - begin) / 1e6


def test_time_to_payload(
    stamp: str,
    compiled: Mapping[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare = f"import os; os.execv({stamp!r}, ['stamp'])"
    candidates = {
        "python, then execve": [sys.executable, "-c", bare],
        "pyinit": [*PYINIT, "--", stamp],
        "pyinit --control": [*PYINIT, "--control", str(tmp_path / "c.sock"), "--", stamp],
        "tini": ["tini", "-s", "--", stamp],
        "dumb-init": ["dumb-init", "--", stamp],
        "the payload alone": [stamp],
    }
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS + 1):
        for name, command in candidates.items():
            taken[name].append(to_payload(command, compiled))
    settled = {name: values[1:] for name, values in taken.items()}  # the first one compiles
    with capsys.disabled():
        print("\n\n" + table(settled, "python, then execve"))
    medians = {name: statistics.median(values) for name, values in settled.items()}
    assert medians["pyinit"] <= 2 * medians["python, then execve"]
    assert medians["pyinit --control"] <= 2 * medians["python, then execve"]


def test_memory(
    compiled: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    socket = tmp_path / "c.sock"
    candidates = {
        "tini": ["tini", "-s", "--"],
        "dumb-init": ["dumb-init", "--"],
        "pyinit": [*PYINIT, "--"],
        "pyinit --control": [*PYINIT, "--control", str(socket), "--"],
    }
    lines = ["| what | PSS KiB | private KiB |", "|---|--:|--:|"]
    for name, command in candidates.items():
        process = subprocess.Popen([*command, "sleep", "1000"], env=compiled)
        until(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text)
        if "--control" in command:
            call(socket, "Describe")
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        found = {
            key: int(size) for key, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)
        }
        private = found["Private_Clean"] + found["Private_Dirty"]
        lines.append(f"| {name} | {found['Pss']} | {private} |")
        process.terminate()
        process.wait()
    with capsys.disabled():
        print("\n\n" + "\n".join(lines))
