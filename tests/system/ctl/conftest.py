"""One container for the tests of a module, whose execs are gone after each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support import probe
from tests.support.containers import Host
from tests.support.targets import Target, until


@pytest.fixture(scope="module")
def module_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    probe.require_root()
    run_dir = tmp_path_factory.mktemp("host") / "run"
    run_dir.mkdir(mode=0o700)
    host = Host(run_dir)
    try:
        yield Target(host, host.run())
    finally:
        host.clear()


@pytest.fixture
def target(module_target: Target) -> Iterator[Target]:
    descriptors = f"/proc/{module_target.init}/fd"
    yield module_target
    until(lambda: not module_target.running())
    assert len(os.listdir(descriptors)) < 100
