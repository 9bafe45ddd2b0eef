"""Runs pyinit-ctl as a user would: as a process, against a toy server or an init."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# What the installed script does, without `-m`, which would load runpy first.
START = "import sys; from pyinit_ctl.__main__ import main; sys.exit(main())"
LIMIT = 30.0


def environment(run_dir: Path) -> dict[str, str]:
    """The environment for a pyinit-ctl whose containers are in `run_dir`."""
    path = f"{ROOT}:{ROOT / 'control'}"
    return {**os.environ, "PYINIT_RUN_DIR": str(run_dir), "PYTHONPATH": path}


def words(*arguments: str) -> list[str]:
    """The command line that starts pyinit-ctl with `arguments`."""
    return [sys.executable, "-c", START, *arguments]


def ctl(run_dir: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """pyinit-ctl, run to its end, with stdout and stderr captured unless `options` say else."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    env = {**environment(run_dir), **options.pop("env", {})}
    return subprocess.run(words(*arguments), env=env, timeout=LIMIT, **options)


def start(run_dir: Path, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """pyinit-ctl, started."""
    env = {**environment(run_dir), **options.pop("env", {})}
    return subprocess.Popen(words(*arguments), env=env, **options)
