"""examples/apache-postgres, as its reader would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.containers import Host
from tests.support.ctl import environment
from tests.support.roots import debian_root

pytestmark = [pytest.mark.root, pytest.mark.package("mmdebstrap"), pytest.mark.slow]

EXAMPLE = Path(__file__).parents[3] / "examples" / "apache-postgres"


def test_run(host: Host, tmp_path: Path) -> None:
    host.made += ["site-a", "site-b"]
    program = tmp_path / "bin" / "pyinit-ctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pyinit_ctl "$@"\n')
    program.chmod(0o755)
    env = environment(host.run_dir)
    env["PATH"] = f"{program.parent}:{env['PATH']}"
    done = subprocess.run(
        ["sh", str(EXAMPLE / "run.sh"), str(debian_root())],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line in ("site-a", "site-b")] == [
        *("site-a", "site-a", "site-b", "site-b")
    ]
    assert done.stdout.count("(1 row)") == 2
