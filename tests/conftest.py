"""Applies the markers root, package and vm, and forbids skips under PYINIT_MUST_RUN=1."""

from __future__ import annotations

import signal
from collections.abc import Generator

import pytest

from tests.support import probe, vm
from tests.support.leaks import leaves_nothing

__all__ = ["leaves_nothing"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--vm-reports", metavar="FILE", help="in the test kernel: where reports go")


def pytest_configure(config: pytest.Config) -> None:
    # nohup and a shell's & leave these ignored, and so would be what the tests start.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if path := config.getoption("--vm-reports"):
        config.pluginmanager.register(vm.Inside(config, path))
    elif not vm.IN_VM:
        config.pluginmanager.register(vm.Outside())


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root"):
        probe.require_root()
    if item.get_closest_marker("vm") and not vm.IN_VM:
        vm.require()
    for marker in item.iter_markers("package"):
        probe.require_package(*marker.args)


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if probe.MUST_RUN and report.skipped and not hasattr(report, "wasxfail"):
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else str(where)
        report.outcome = "failed"
        report.longrepr = f"PYINIT_MUST_RUN=1 forbids skips. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    forbid_skip(report)
    return report
