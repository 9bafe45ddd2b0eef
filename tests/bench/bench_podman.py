"""podman against pyinit: a command in a running container, and a container from start to end.

    make bench PYTEST_ARGS='-rP -k podman'

In the test kernel, for podman's runtimes have their hands on cgroups. Every page fault and every
start of a process takes longer there than on the machine: the ratio is what counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.measure import in_turns, table
from tests.support import roots
from tests.support.inits import until
from tests.support.podman import IMAGE, Podman, with_image
from tests.support.varlink_call import answers

pytestmark = [
    pytest.mark.vm(roots=("busybox",)),
    pytest.mark.package("podman", "crun", "catatonit"),
]

ROUNDS = int(os.environ.get("PYINIT_BENCH_ROUNDS", "20"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    roots.copy(roots.busybox_root(), folder)
    return folder


@pytest.fixture(scope="module")
def podman(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """Made after the root, which lies where podman gets a fresh /var."""
    return with_image(tmp_path_factory.mktemp("image"))


def ctl(*words: str) -> Callable[[], object]:
    script = Path(sys.executable).with_name("pyinit-ctl")
    return lambda: subprocess.run([script, *words], check=True)


def test_podman_exec(podman: Podman, tmp_path: Path) -> None:
    """Into one container: podman's, whose entrypoint is pyinit."""
    control = tmp_path / "control"
    control.mkdir()
    podman(*podman.run("--detach", "--name=app", f"--volume={control}:/run/control", IMAGE))
    until(lambda: answers(control / "app.sock"))
    ours = ctl("exec", str(control / "app.sock"), "/bin/true")
    ways = {"pyinit-ctl exec": ours, "podman exec": lambda: podman("exec", "app", "/bin/true")}
    print(table(in_turns(ways, ROUNDS), "pyinit-ctl exec"))
    podman("stop", "app")


def test_podman_run(podman: Podman, root: Path) -> None:
    """On one root, each with an overlay of its own."""
    theirs = ("run", "--rm", "--network=none", "--rootfs", f"{root}:O", "/bin/true")
    ways = {
        "pyinit-ctl run": ctl("run", "--rm", "--layer", str(root), "--", "/bin/true"),
        "podman run": lambda: podman(*theirs),
    }
    print(table(in_turns(ways, ROUNDS), "pyinit-ctl run"))
