"""init embedded in somebody else's runtime: examples/own_runtime.py, and what importing costs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import roots
from tests.support.inits import TREE, Running, environment, isolated
from tests.support.varlink_call import run_output

EXAMPLE = (sys.executable, str(TREE / "examples" / "own_runtime.py"))


@pytest.mark.root
@pytest.mark.package("busybox-static")
def test_a_runtime_of_ones_own(tmp_path: Path) -> None:
    root = roots.busybox_root()
    path = tmp_path / "own.sock"
    script = "trap 'echo told; exit 5' TERM; hostname; echo up; while :; do sleep 0.1; done"
    with Running(isolated(*EXAMPLE, str(root), str(path), "sh", "-c", script)) as running:
        assert [running.line(), running.line()] == ["own", "up"]
        assert run_output(path, "sh", "-c", "echo $PPID") == "1\n"
        assert "/old" not in run_output(path, "cat", "/proc/mounts")
        running.send(signal.SIGTERM)
        assert running.line() == "told"
        assert running.wait() == 5
    assert not path.exists()


@pytest.mark.root
@pytest.mark.package("busybox-static")
def test_it_says_why_it_could_not(tmp_path: Path) -> None:
    command = isolated(*EXAMPLE, str(roots.busybox_root()), str(tmp_path / "s"), "nosuch")
    with Running(command) as running:
        assert running.wait() == 127
        assert "nosuch" in running.errors()


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("pyinit", {"trio", "structlog", "msgspec", "pyroute2", "pyinit.init", "pyinit.container"}),
        ("pyinit.init", {"trio", "structlog", "msgspec", "pyinit.container", "pyinit.init.main"}),
        ("pyinit.init.run", {"pyroute2", "rich", "click", "pyinit.container"}),
        ("pyinit.init.InitConfig", {"trio", "structlog", "pyinit.container", "pyinit.init.main"}),
    ],
)
def test_each_door_pulls_in_no_more_than_it_needs(imported: str, absent: set[str]) -> None:
    script = f"import pyinit.init, sys\n{imported}\nprint(*sys.modules)"
    if imported == "pyinit":
        script = "import pyinit, sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment()
    )
    assert not absent & set(done.stdout.split())


def test_a_wrong_name_is_told() -> None:
    import pyinit.init

    with pytest.raises(AttributeError, match="nosuch"):
        pyinit.init.nosuch  # noqa: B018
