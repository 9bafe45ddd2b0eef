"""How long an exec takes, against the host's own posix_spawn and nsenter, in one run.

    python -m tests.bench.exec_speed [--runs N]

As root. What is compared runs in turn, some runs of each at a time, so that what else the
machine does falls on all alike; quote the ratios. In milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.support.controls import Caller, Init, running

TRUE = "/bin/true"
BLOCK = 10
Case = Callable[[], object]


def host_spawn() -> None:
    """The floor: fork and exec on the host, as a small program would."""
    pid = os.posix_spawn(TRUE, [TRUE], os.environ)
    assert os.waitpid(pid, 0)[1] == 0


def nsenter(init: Init) -> Case:
    argv = ["nsenter", "-t", str(init.container.pid), "-a", TRUE]

    def enter() -> None:
        pid = os.posix_spawn("/usr/bin/nsenter", argv, os.environ)
        assert os.waitpid(pid, 0)[1] == 0

    return enter


def exec_by(caller: Caller, **command: str) -> Case:
    """Through an open connection, with the three descriptors passed."""
    caller.socket.settimeout(None)  # as that of the clients: no poll(2) before each read
    reading, writing = os.pipe()
    parameters = {"command": {"argv": [TRUE], **command}, "stdin": 0, "stdout": 1, "stderr": 2}

    def run() -> None:
        caller.send("Exec", parameters, [reading, writing, writing])
        assert caller.receive().parameters["status"] == {"code": 0}

    return run


def round_trip(caller: Caller) -> Case:
    return lambda: caller.fail("WaitExec", id="unknown")


def measure(cases: dict[str, Case], runs: int, apart: float) -> dict[str, list[float]]:
    """Milliseconds of each run; BLOCK runs of a case at a time, `apart` seconds between them."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(runs // BLOCK):
        for name, case in cases.items():
            found[name] += [timed(case, apart) for _ in range(BLOCK)]
    return found


def timed(case: Case, apart: float) -> float:
    time.sleep(apart)
    begin = time.perf_counter()
    case()
    return (time.perf_counter() - begin) * 1e3


def show(title: str, found: dict[str, list[float]]) -> None:
    print(f"\n{title}\n{'':26}{'median':>9}{'p95':>9}{'min':>9}{'÷ spawn':>9}{'÷ nsenter':>10}")
    spawn = statistics.median(found["posix_spawn on the host"])
    enter = statistics.median(found["nsenter -a"])
    for name, times in found.items():
        median = statistics.median(times)
        late = sorted(times)[int(len(times) * 0.95)]
        ratios = f"{median / spawn:9.2f}{median / enter:10.2f}"
        print(f"{name:26}{median:9.3f}{late:9.3f}{min(times):9.3f}{ratios}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=200)
    runs = options.parse_args().runs
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        leaf = stack.enter_context(running(folder, "bench-leaf"))
        plain = stack.enter_context(running(folder, "bench-plain", cgroups=False))
        with leaf.caller() as one, plain.caller() as other:
            cases: dict[str, Case] = {
                "posix_spawn on the host": host_spawn,
                "nsenter -a": nsenter(leaf),
                "exec, root, leaf": exec_by(one),
                "exec, nobody, leaf": exec_by(one, user="nobody"),
                "exec, root, no cgroup": exec_by(other),
                "exec, nobody, no cgroup": exec_by(other, user="nobody"),
                "a call that does nothing": round_trip(one),
            }
            measure(cases, 20, 0)
            show(f"back to back, {runs} runs each", measure(cases, runs, 0))
            show(f"200 ms apart, {runs // 4} runs each", measure(cases, runs // 4, 0.2))


if __name__ == "__main__":
    main()
