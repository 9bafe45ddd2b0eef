"""Runs tests in a kernel of their own, with cgroup v2 and every controller.

The kernel is user-mode-linux, or Debian's under ``PYINIT_TEST_KERNEL=debian`` (make test-vm).

All selected tests of one file that carry the marker ``vm`` run in one boot (`vm_boot`), one file
after the other, while pytest runs the tests of this machine. pytest runs inside on the host's
files, read-only; its reports come back through one folder and are shown by the pytest outside,
when it comes to them, as if the tests had run here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import probe
from tests.support.vm_boot import CONSOLE, KERNEL, OVER, REPORTS, TREE, Plan, write_plans

IN_VM = os.environ.get("PYINIT_IN_VM") == "1"
# How often is looked whether a file's tests are over, in seconds.
LOOK_S = 0.2
# Until a runner that was asked to end has ended its kernel, in seconds.
END_S = 30

Reports = dict[str, list[dict[str, Any]]]


def require() -> None:
    """Skips where no such kernel can be booted."""
    probe.require_package(*KERNEL.PACKAGES)


def plan_of(items: list[pytest.Item]) -> Plan:
    markers = [marker for item in items for marker in item.iter_markers("vm")]
    names = {name for marker in markers for name in marker.kwargs.get("roots", ())}
    return Plan([item.nodeid for item in items], sorted(names))


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


class Runner:
    """The process that boots the kernel for each of the files, and what comes of them."""

    def __init__(self, files: dict[Path, list[pytest.Item]]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pyinit-vm-")
        self._results = {
            path: Path(self._folder.name, str(number)) for number, path in enumerate(files)
        }
        self._said = Path(self._folder.name, "said")
        self._read: dict[Path, tuple[Reports, str]] = {}
        write_plans(Path(self._folder.name), [plan_of(items) for items in files.values()])
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.vm_boot", self._folder.name],
                cwd=TREE,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def wait(self, path: Path) -> tuple[Reports, str]:
        """When the tests of a file are over: the reports of each by its id, and last words."""
        if path not in self._read:
            results = self._results[path]
            while not (results / OVER).exists() and self._process.poll() is None:
                time.sleep(LOOK_S)
            words = [
                line
                for file in (results / CONSOLE, self._said)
                if file.exists()
                for line in file.read_text(errors="replace").splitlines()[-40:]
            ]
            self._read[path] = read_reports(results / REPORTS), "\n".join(words)
        return self._read[path]

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(END_S)
        self._folder.cleanup()


class Outside:
    """The pytest plugin of the host: shows the reports from the guest in place of a run here."""

    def __init__(self) -> None:
        self.runner: Runner | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.config.option.collectonly or not all(map(probe.installed, KERNEL.PACKAGES)):
            return  # the usual way skips them, with the reason
        files: dict[Path, list[pytest.Item]] = {}
        for item in session.items:
            if item.get_closest_marker("vm"):
                files.setdefault(item.path, []).append(item)
        if files:
            self.runner = Runner(files)

    def pytest_sessionfinish(self) -> None:
        if self.runner is not None:
            self.runner.end()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if self.runner is None or not item.get_closest_marker("vm"):
            return None
        reports, console = self.runner.wait(item.path)
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
