"""prctl wrappers, each in a child of its own: most of them can't be taken back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pyinit.linux import prctl


def in_child(work: Callable[[], bool]) -> bool:
    """Whether `work` was true in a forked child."""
    child = os.fork()
    if child == 0:
        outcome = 1
        try:
            outcome = 0 if work() else 1
        finally:
            os._exit(outcome)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def test_no_new_privs_is_set_for_good() -> None:
    def work() -> bool:
        prctl.set_no_new_privs()
        return prctl.no_new_privs()

    assert in_child(work)


def test_dumpable_both_ways() -> None:
    def work() -> bool:
        prctl.set_dumpable(False)
        was_off = not prctl.is_dumpable()
        prctl.set_dumpable(True)
        return was_off and prctl.is_dumpable()

    assert in_child(work)


def test_child_subreaper_gets_the_orphans() -> None:
    def work() -> bool:
        prctl.set_child_subreaper(True)
        middle = os.fork()
        if middle == 0:
            os.fork()
            os._exit(0)
        reaped = {os.wait()[0], os.wait()[0]}
        return len(reaped) == 2

    assert in_child(work)


def test_parent_death_signal_is_taken() -> None:
    def work() -> bool:
        prctl.set_parent_death_signal(signal.SIGTERM)
        return True

    assert in_child(work)


def test_name_is_the_threads_and_is_cut_to_15_bytes() -> None:
    names: list[str] = []

    def work() -> None:
        prctl.set_name("a-name-of-more-than-15-bytes")
        names.append(Path("/proc/thread-self/comm").read_text())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert names == ["a-name-of-more-\n"]


def test_the_kernels_refusal_is_an_oserror() -> None:
    with pytest.raises(OSError, match="prctl"):
        prctl.prctl(999999)
