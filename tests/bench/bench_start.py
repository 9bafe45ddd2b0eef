"""From `run` to ready, and what an idle PID 1 holds in memory."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.measure import in_turns, table
from tests.support.containers import Host

pytestmark = pytest.mark.root

ROUNDS = 40
_numbers = itertools.count()


def memory(pid: int) -> dict[str, int]:
    """KiB by name, from /proc/PID/smaps_rollup (proc(5))."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {
        name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)
    }


def test_idle_memory(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    name = host.run()
    time.sleep(1)
    found = memory(host.state(name)["pid"])
    host.inside(name, "true")
    later = memory(host.state(name)["pid"])
    with capsys.disabled():
        print("\n\nidle PID 1, KiB: PSS, private")
        for label, each in (("after its start", found), ("after an exec", later)):
            private = each["Private_Clean"] + each["Private_Dirty"]
            print(f"  {label}: {each['Pss']}, {private}")


def detached(host: Host) -> Callable[[], object]:
    return lambda: host.run("--", "sleep", "1000", name=f"b{next(_numbers)}")


def finished(*words: str) -> Callable[[], object]:
    return lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def test_from_run_to_ready(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    candidates = {
        "python -c pass": finished(sys.executable, "-c", "pass"),
        "python -c 'import trio'": finished(sys.executable, "-c", "import trio"),
        "pyinit-ctl run --detach": detached(host),
        "pyinit-ctl run --rm -- true": lambda: host.ok("run", "--rm", "--", "true"),
    }
    if shutil.which("bwrap"):
        candidates["bwrap -- true"] = finished(
            *("bwrap", "--unshare-all", "--bind", "/", "/", "--proc", "/proc", "--", "true")
        )
    taken = in_turns(candidates, ROUNDS)
    with capsys.disabled():
        print("\n\n" + table(taken, "python -c pass"))
