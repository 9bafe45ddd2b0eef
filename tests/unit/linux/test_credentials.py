"""Credentials that change for one thread alone (root), and the errors of those that may not."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pyinit.linux import credentials


def in_thread(work: object) -> dict[str, str]:
    """/proc/thread-self/status of a thread after it did `work`."""
    seen: dict[str, str] = {}

    def run() -> None:
        assert callable(work)
        work()
        for line in Path("/proc/thread-self/status").read_text().splitlines():
            key, _, value = line.partition(":")
            seen[key] = " ".join(value.split())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return seen


@pytest.mark.root
def test_one_thread_changes_and_the_others_stay() -> None:
    def work() -> None:
        credentials.set_groups([5, 7])
        credentials.set_group_ids(12, credentials.UNCHANGED, credentials.UNCHANGED)
        credentials.set_user_ids(11, credentials.UNCHANGED, credentials.UNCHANGED)

    seen = in_thread(work)
    assert seen["Uid"] == "11 0 0 0"
    assert seen["Gid"] == "12 0 0 0"
    assert seen["Groups"] == "5 7"
    assert os.getresuid() == (0, 0, 0)
    assert os.getresgid() == (0, 0, 0)


@pytest.mark.root
def test_a_threads_own_umask_and_folder() -> None:
    def work() -> None:
        credentials.unshare_filesystem_attributes()
        os.umask(0o077)
        os.chdir("/")

    before = os.getcwd()
    assert in_thread(work)["Umask"] == "0077"
    assert os.getcwd() == before


def test_an_impossible_id_is_an_oserror() -> None:
    with pytest.raises(OSError, match="setgroups"):
        credentials.set_groups(range(70_000))
