"""What an idle PID 1 with services does: nothing. Its wake-ups, counted by the kernel."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.containers import Host, host
from tests.support.supervised import Stage, stage

__all__ = ["host", "stage"]

pytestmark = pytest.mark.root

SECONDS = float(os.environ.get("PYINIT_IDLE_SECONDS", "60"))
SERVICES = 20


def wakeups(pid: int) -> int:
    """How often any thread of the process was put on a processor (Documentation/scheduler/
    sched-stats.rst: the third number)."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[2]) for task in tasks.iterdir())


def cpu_ns(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())


def test_idle(stage: Stage, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    toml = "".join(
        f'[services.s{number}]\ncommand = "sleep 100000"\nrestart = "always"\n'
        for number in range(SERVICES)
    )
    with stage.run(toml) as container:
        container.until(lambda: set(container.states().values()) == {"running"})
        pid = host.state(container.name)["pid"]
        asked = wakeups(pid)
        container.states()
        container.client.close()
        time.sleep(1)  # until the last connection has been tidied up
        before, used = wakeups(pid), cpu_ns(pid)
        time.sleep(SECONDS)
        count, spent = wakeups(pid) - before, cpu_ns(pid) - used
    with capsys.disabled():
        print(f"\n{SERVICES} services, {SECONDS:g} s: {count} wake-ups, {spent} ns of CPU")
    assert before > asked, "the kernel counts nothing"
    assert count == 0
