"""The README shows what `make demo` really prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ctl import environment

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[3]
# What differs from run to run: numbers, their units, and the width of the columns they are in.
VARIES = [
    (re.compile(r"[0-9][0-9.,]*( (B|KiB|MiB|GiB)\b|s\b)?"), "#"),
    (re.compile(r"cgroup-v#|\bproc\b$", re.MULTILINE), "SOURCE"),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r" $", re.MULTILINE), ""),
]


def comparable(text: str) -> list[str]:
    for pattern, stands_for in VARIES:
        text = pattern.sub(stands_for, text)
    return [line.strip() for line in text.strip().splitlines()]


def test_transcript(tmp_path: Path) -> None:
    shown = (ROOT / "README.md").read_text().split("```console\n")[1].split("```")[0]
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "pyinit-ctl"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pyinit_ctl "$@"\n')
    program.chmod(0o755)
    env = environment(tmp_path / "run")
    env["PATH"] = f"{programs}:{env['PATH']}"
    done = subprocess.run(
        ["sh", str(ROOT / "examples" / "demo.sh")], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert comparable(done.stdout) == comparable(shown)
