"""`pyinit-ctl exec` as a whole process, against the interpreter's own start and nsenter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.measure import in_turns, table
from tests.support.containers import Host
from tests.support.ctl import environment

pytestmark = pytest.mark.root

ROUNDS = 200


def finished(env: dict[str, str], *words: str) -> Callable[[], object]:
    def run() -> None:
        pid = os.posix_spawnp(words[0], words, env)
        assert os.waitpid(pid, 0)[1] == 0

    return run


def test_exec_command(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    script = Path(sys.executable).with_name("pyinit-ctl")
    if not script.exists():
        pytest.skip("needs the installed script: run make bench")
    name = host.run()
    pid = str(host.state(name)["pid"])
    env = environment(host.run_dir)
    # Compiled files are part of an installation, whatever is set where this is developed.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([script, "exec", name, "true"], env=env, check=True)
    taken = in_turns(
        {
            "posix_spawn of true": finished(env, "/bin/true"),
            "nsenter -a": finished(env, "nsenter", "-t", pid, "-a", "/bin/true"),
            "python -c pass": finished(env, sys.executable, "-c", "pass"),
            "pyinit-ctl exec": finished(env, str(script), "exec", name, "/bin/true"),
        },
        ROUNDS,
    )
    with capsys.disabled():
        print("\n\n" + table(taken, "python -c pass"))
