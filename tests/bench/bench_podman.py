"""`podman exec` and `pyinit-ctl exec` into one container: podman's, whose entrypoint is pyinit.

    make bench PYTEST_ARGS='-rP -k podman_exec'

In the test kernel (TRAPS: podman's runtimes have their hands on cgroups), where every page fault
and every start of a process takes longer than on the machine: the ratio is what counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.measure import in_turns, table
from tests.support.inits import until
from tests.support.podman import IMAGE, with_image
from tests.support.varlink_call import answers

pytestmark = [pytest.mark.vm, pytest.mark.package("podman", "crun", "catatonit")]

ROUNDS = int(os.environ.get("PYINIT_BENCH_ROUNDS", "20"))


def test_podman_exec(tmp_path: Path) -> None:
    image, control = tmp_path / "image", tmp_path / "control"
    image.mkdir()
    control.mkdir()
    podman = with_image(image)
    podman(*podman.run("--detach", "--name=app", f"--volume={control}:/run/control", IMAGE))
    until(lambda: answers(control / "app.sock"))
    script = Path(sys.executable).with_name("pyinit-ctl")

    def ours() -> None:
        subprocess.run([script, "exec", str(control / "app.sock"), "/bin/true"], check=True)

    ways = {"pyinit-ctl exec": ours, "podman exec": lambda: podman("exec", "app", "/bin/true")}
    print(table(in_turns(ways, ROUNDS), "pyinit-ctl exec"))
    podman("stop", "app")
