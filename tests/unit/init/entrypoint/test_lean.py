"""What is loaded before the command starts: a list, so that nothing slips in."""

from __future__ import annotations

import subprocess
import sys

from tests.support.inits import environment

ALLOWED = {
    "__future__",
    "_ctypes",
    "errno",
    "pyinit",
    "pyinit.__main__",
    "pyinit.errors",
    "pyinit.init",
    "pyinit.init.entrypoint",
    "pyinit.init.entrypoint.host_notice",
    "pyinit.init.entrypoint.lean",
    "pyinit.init.entrypoint.main",
    "pyinit.init.entrypoint.options",
    "pyinit.init.entrypoint.payload",
    "pyinit.init.entrypoint.report",
    "pyinit.init.forwarding",
    "pyinit.linux",
    "pyinit.linux.early",
}


def test_the_way_to_the_command_loads_next_to_nothing() -> None:
    script = "import sys; before = {*sys.modules}; import pyinit.__main__; "
    script += "print(*({*sys.modules} - before))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment()
    )
    assert set(done.stdout.split()) <= ALLOWED
