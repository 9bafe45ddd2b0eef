"""Runs tests in a kernel of their own, with cgroup v2 and every controller.

The kernel is user-mode-linux, or Debian's under ``PYINIT_TEST_KERNEL=debian`` (make test-vm).

All selected tests of one file that carry the marker ``vm`` run in one boot. pytest runs inside
on the host's files, read-only; its reports come back through one folder and are shown by the
pytest outside as if the tests had run here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support import probe, roots, uml, vng

TREE = Path(__file__).resolve().parents[2]
KERNEL = vng if os.environ.get("PYINIT_TEST_KERNEL") == vng.NAME else uml
IN_VM = os.environ.get("PYINIT_IN_VM") == "1"
# A guest has its own of these.
HIDDEN = ("/tmp/", "/run/", "/var/", "/dev/shm/")
REPORTS = "reports.jsonl"
CONSOLE = "console"

Reports = dict[str, list[dict[str, Any]]]


def require() -> None:
    """Skips where no such kernel can be booted."""
    probe.require_package(*KERNEL.PACKAGES)


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


def run(items: list[pytest.Item]) -> tuple[Reports, str]:
    """Runs ``items`` in one boot: the reports of each by its id, and the console's last lines."""
    markers = [marker for item in items for marker in item.iter_markers("vm")]
    names = {name for marker in markers for name in marker.kwargs.get("roots", ())}
    built = {name: roots.BUILDERS[name]() for name in sorted(names)}
    with tempfile.TemporaryDirectory(prefix="pyinit-vm-") as folder:
        results = Path(folder)
        report_file = f"--vm-reports={results / REPORTS}"
        boot([report_file, *(item.nodeid for item in items)], results, built)
        console = (results / CONSOLE).read_text(errors="replace")
        return read_reports(results / REPORTS), "\n".join(console.splitlines()[-40:])


def read_reports(path: Path) -> Reports:
    found: Reports = {}
    if path.exists():
        for line in path.read_text().splitlines():
            report = json.loads(line)
            # JSON made a list of where and why a test was skipped; pytest insists on a tuple.
            if isinstance(report["longrepr"], list):
                report["longrepr"] = tuple(report["longrepr"])
            found.setdefault(report["nodeid"], []).append(report)
    return found


class Outside:
    """The pytest plugin of the host: shows the reports from the guest in place of a run here."""

    def __init__(self) -> None:
        self.done: dict[Path, tuple[Reports, str]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not item.get_closest_marker("vm") or not all(map(probe.installed, KERNEL.PACKAGES)):
            return None  # the usual way skips it, with the reason
        if item.path not in self.done:
            here = [i for i in item.session.items if i.path == item.path]
            self.done[item.path] = run([i for i in here if i.get_closest_marker("vm")])
        reports, console = self.done[item.path]
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self.reports_of(item, reports.get(item.nodeid, []), console):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def reports_of(
        self, item: pytest.Item, raw: list[dict[str, Any]], console: str
    ) -> list[pytest.TestReport]:
        config = item.config
        reports: list[pytest.TestReport] = [
            config.hook.pytest_report_from_serializable(config=config, data=data) for data in raw
        ]
        if not reports or reports[-1].when != "teardown":
            reports.append(no_end(item, console))
        return reports


def no_end(item: pytest.Item, console: str) -> pytest.TestReport:
    """The report of a test that the guest never finished."""
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=f"the test kernel ended before this test did; its console:\n{console}",
        when="call",
    )


class Inside:
    """The pytest plugin of the guest: writes each report down as it comes."""

    def __init__(self, config: pytest.Config, path: str) -> None:
        self.config = config
        self.path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        with open(self.path, "a") as file:
            file.write(json.dumps(data) + "\n")
