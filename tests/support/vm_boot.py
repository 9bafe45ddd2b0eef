"""Boots the test kernel for the tests of one file after the other, beside the rest of the tests.

    python -m tests.support.vm_boot FOLDER

FOLDER/plan.json says what to run, see `Plan`. What came of the first file's tests is in FOLDER/0,
and so on: reports, the console, and last of all the file `over`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from pyinit.linux.prctl import set_parent_death_signal
from tests.support import probe, roots, uml, vng

TREE = Path(__file__).resolve().parents[2]
KERNEL = vng if os.environ.get("PYINIT_TEST_KERNEL") == vng.NAME else uml
# A guest has its own of these.
HIDDEN = ("/tmp/", "/run/", "/var/", "/dev/shm/")
REPORTS = "reports.jsonl"
CONSOLE = "console"
OVER = "over"
PLAN = "plan.json"


@dataclass(frozen=True)
class Plan:
    """The tests of one file, and the root file systems that they find by name."""

    nodeids: list[str]
    roots: list[str]


def write_plans(folder: Path, plans: list[Plan]) -> None:
    (folder / PLAN).write_text(json.dumps([asdict(plan) for plan in plans]))
    for number in range(len(plans)):
        (folder / str(number)).mkdir()


def environment(results: Path, built: dict[str, Path]) -> dict[str, str]:
    """What the guest's script and the tests in it are told."""
    needed = [str(TREE), sys.prefix, sys.base_prefix, *map(str, built.values())]
    keep = dict.fromkeys(folder for folder in needed if folder.startswith(HIDDEN))
    return {
        "VM_KERNEL": KERNEL.NAME,
        "VM_TREE": str(TREE),
        "VM_KEEP": " ".join(keep),
        "VM_RESULTS": str(results),
        "VM_PYTHON": sys.executable,
        "PYINIT_MUST_RUN": str(int(probe.MUST_RUN)),
        **{roots.given(name): str(path) for name, path in built.items()},
    }


def boot(arguments: list[str], results: Path, built: dict[str, Path]) -> None:
    """Boots, runs pytest with ``arguments`` and waits for the end, within the kernel's limit.

    ``built`` are root file systems that tests find by name. The kernel's and pytest's output is
    then in ``results/console``.
    """
    (results / "arguments").write_text("\n".join(arguments) + "\n")
    guest = TREE / "tests" / "support" / "guest.sh"
    with open(results / CONSOLE, "wb") as console:
        kernel = subprocess.Popen(
            KERNEL.command(guest, results, environment(results, built)),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
        try:
            kernel.wait(KERNEL.LIMIT_S)
        except subprocess.TimeoutExpired:
            console.write(b"\nended: it took more than %d s\n" % KERNEL.LIMIT_S)
        finally:
            # The guest's processes are processes here, in the session made for them.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(kernel.pid, signal.SIGKILL)
            kernel.wait()


def run(plan: Plan, results: Path) -> None:
    built = {name: roots.BUILDERS[name]() for name in plan.roots}
    boot([f"--vm-reports={results / REPORTS}", *plan.nodeids], results, built)
    (results / OVER).touch()


def leave(number: int, _frame: FrameType | None) -> Any:
    sys.exit(128 + number)


def main() -> None:
    # The kernel is in a session of its own: it ends by the `finally` of `boot`.
    signal.signal(signal.SIGTERM, leave)
    set_parent_death_signal(signal.SIGTERM)
    folder = Path(sys.argv[1])
    for number, plan in enumerate(json.loads((folder / PLAN).read_text())):
        run(Plan(**plan), folder / str(number))


if __name__ == "__main__":
    main()
