"""What loading PID 1's libraries does besides."""

from __future__ import annotations

import subprocess
import sys

LOAD = """
import sys
EVENTS = ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec", "tempfile.mkstemp")
sys.addaudithook(lambda event, _arguments: print(event) if event in EVENTS else None)
from pyinit.init.libraries import trio
print(trio._core._thread_cache.set_os_thread_name is not None, "ctypes.util" in sys.modules)
"""


def test_no_program_is_started_and_no_file_is_made() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
