"""`pyinit-ctl exec` as a whole process, against the interpreter's own start and other ways in.

    make bench PYTEST_ARGS='-k exec_command'

In turns, back to back and 200 ms apart. PYINIT_BENCH_ROUNDS says how many.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.bench.measure import in_turns, table
from tests.bench.ways_in import WAYS
from tests.support.containers import Host
from tests.support.ctl import environment

pytestmark = [pytest.mark.root, pytest.mark.package("busybox-static")]

ROUNDS = int(os.environ.get("PYINIT_BENCH_ROUNDS", "200"))


def finished(env: dict[str, str], *words: str) -> Callable[[], object]:
    null = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1)]

    def run() -> None:
        pid = os.posix_spawnp(words[0], words, env, file_actions=actions)
        assert os.waitpid(pid, 0)[1] == 0

    return run


def ctl(host: Host, env: dict[str, str], name: str) -> dict[str, Callable[[], object]]:
    """The interpreter, and the program as it is installed."""
    script = Path(sys.executable).with_name("pyinit-ctl")
    if not script.exists():
        pytest.skip("needs the installed script: run make bench")
    # Compiled files are part of an installation, whatever is set where this is developed.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([script, "exec", name, "true"], env=env, check=True)
    return {
        "python -c pass": finished(env, sys.executable, "-c", "pass"),
        "pyinit-ctl exec": finished(env, str(script), "exec", name, "/bin/true"),
    }


def others(stack: ExitStack, host: Host, name: str, folder: Path) -> dict[str, list[str]]:
    found = {}
    for title, (program, way) in WAYS.items():
        if shutil.which(program):
            own = folder / way.__name__
            own.mkdir()
            found[title] = stack.enter_context(way(host, name, own))
    return found


def test_exec_command(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bench"
    folder.mkdir()
    name = host.run("--net", "host", "--volume", f"{folder}:/bench")
    pid = str(host.state(name)["pid"])
    env = environment(host.run_dir)
    with ExitStack() as stack:
        candidates = {
            "posix_spawn of true": finished(env, "/bin/true"),
            "nsenter -a": finished(env, "nsenter", "-t", pid, "-a", "/bin/true"),
            **ctl(host, env, name),
        }
        for title, words in others(stack, host, name, folder).items():
            candidates[title] = finished(env, *words)
        together = in_turns(candidates, ROUNDS)
        apart = in_turns(candidates, ROUNDS // 4, 0.2)
    with capsys.disabled():
        print("\n\nback to back\n" + table(together, "python -c pass"))
        print("\n200 ms apart\n" + table(apart, "python -c pass"))
