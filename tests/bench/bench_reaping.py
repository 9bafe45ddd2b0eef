"""10,000 zombies handed to an init at once: how long until the last is reaped."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.inits import PYINIT, environment, isolated

pytestmark = [
    pytest.mark.root,
    pytest.mark.package("tini", "dumb-init", "catatonit", "gcc", "libc6-dev"),
]

ROUNDS = 9
ZOMBIES = 10_000
# A child makes the zombies and is killed; then every pid is asked for until it is gone.
# With an argument it first waits that many seconds, for an init that is still loading.
PAYLOAD = """
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
    int count = atoi(argv[1]), told[2];
    pid_t *pids = mmap(0, count * sizeof *pids, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sleep(atoi(argv[2]));
    pipe(told);
    pid_t maker = fork();
    if (!maker) {
        for (int i = 0; i < count; i++) {
            pid_t child = fork();
            if (!child)
                _exit(0);
            pids[i] = child;
        }
        siginfo_t ended;
        for (int i = 0; i < count; i++)
            waitid(P_PID, pids[i], &ended, WEXITED | WNOWAIT);
        write(told[1], "x", 1);
        pause();
    }
    char c;
    if (read(told[0], &c, 1) != 1)
        return 2;
    double begin = now();
    kill(maker, SIGKILL);
    waitpid(maker, 0, 0);
    for (int i = 0; i < count; i++)
        while (!kill(pids[i], 0))
            sched_yield();
    printf("%.3f\\n", now() - begin);
    return 0;
}
"""


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("reaping")
    (folder / "zombies.c").write_text(PAYLOAD)
    subprocess.run(["gcc", "-O2", "-o", "zombies", "zombies.c"], cwd=folder, check=True)
    return str(folder / "zombies")


def test_ten_thousand_zombies(
    payload: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inits: dict[str, tuple[list[str], int]] = {
        "tini": (["tini", "--"], 0),
        "dumb-init": (["dumb-init", "--"], 0),
        "catatonit": (["catatonit", "--"], 0),
        "pyinit": ([*PYINIT, "--"], 0),
        "pyinit with a control socket": ([*PYINIT, "--control", str(tmp_path / "c"), "--"], 2),
    }
    taken: dict[str, list[float]] = {name: [] for name in inits}
    for _ in range(ROUNDS):
        for name, (words, seconds) in inits.items():
            command = isolated(*words, payload, str(ZOMBIES), str(seconds))
            done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, check=True)
            taken[name].append(float(done.stdout))
    base = statistics.median(taken["tini"])
    with capsys.disabled():
        print(f"\n{ZOMBIES} zombies, {sys.version.split()[0]}; median ms, least, of tini's")
        for name, values in taken.items():
            median = statistics.median(values)
            print(f"{name:30} {median:7.1f} {min(values):7.1f} {median / base:5.2f}")
    for name in ("pyinit", "pyinit with a control socket"):
        assert statistics.median(taken[name]) <= 2 * base, name
