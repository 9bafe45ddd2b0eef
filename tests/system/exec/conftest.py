"""One container for the tests of a module; each test leaves it as it found it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.support import probe
from tests.support.controls import PATIENCE_S, Caller, Init, running, settled


@pytest.fixture(scope="module", params=["leaf", "no cgroup"])
def init(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Init]:
    probe.require_root()
    folder = tmp_path_factory.mktemp("run")
    with running(folder, f"exec-tests-{os.getpid()}", cgroups=request.param == "leaf") as one:
        yield one


@pytest.fixture
def caller(init: Init) -> Iterator[Caller]:
    with init.caller() as one:
        yield one


@pytest.fixture(scope="module")
def baseline(init: Init) -> dict[str, int]:
    """What PID 1 holds before anything was asked of it."""
    return settled(init)


@pytest.fixture
def leaks_nothing(init: Init, baseline: dict[str, int]) -> Iterator[None]:
    """No process, descriptor, thread or cgroup of PID 1 more than before the test."""
    yield
    limit = time.monotonic() + PATIENCE_S
    while (after := init.held()) != baseline:
        assert time.monotonic() < limit, (baseline, after)
        time.sleep(0.02)
