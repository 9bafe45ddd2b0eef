"""pyinit as the examples have it, under /opt/pyinit, made of this tree and this interpreter."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.inits import TREE

PLACE = "opt/pyinit/bin"
PROGRAMS = {
    "pyinit": f"{TREE}/scripts/pyinit",
    "pyinit-ctl": f"{TREE}/control/pyinit_ctl/__main__.py",
    "python3": "",
}


def install(root: Path) -> None:
    """Write the programs below a root, as small scripts that start those of the tree."""
    folder = root / PLACE
    folder.mkdir(parents=True, exist_ok=True)
    path = f"{TREE}:{TREE}/control"
    for name, script in PROGRAMS.items():
        file = folder / name
        file.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} {script} "$@"\n')
        file.chmod(0o755)
