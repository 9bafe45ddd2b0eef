from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_reference_is_up_to_date() -> None:
    command = [sys.executable, ROOT / "tools" / "reference_cli.py", "--check"]
    assert subprocess.run(command).returncode == 0, "run tools/reference_cli.py"
