"""The fork that makes PID 1: out of the maker's namespaces, in a thread of its own."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from typing import NoReturn

from pyinit.container.namespaces import Namespaces


def fork_into_namespaces(namespaces: Namespaces, child: Callable[[], NoReturn]) -> int:
    """Fork a process that is in the namespaces and calls `child`; returns its pid here.

    A thread of its own leaves the namespaces and forks: they belong to a thread, so the
    rest of the program stays where it is, and the child finds no trace of an event loop
    that may run in the thread that called. Raises SystemFault.
    """
    outcome: list[int | BaseException] = []
    thread = threading.Thread(target=_run, args=(namespaces, child, outcome), name="launch")
    thread.start()
    thread.join()
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result


def _run(
    namespaces: Namespaces, child: Callable[[], NoReturn], outcome: list[int | BaseException]
) -> None:
    try:
        namespaces.enter()
        pid = _fork()
    except BaseException as error:  # it is raised in the thread that waits
        outcome.append(error)
        return
    if pid == 0:
        child()
    outcome.append(pid)


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside other threads: the child runs no code but its
        # own, and libc makes its allocator whole.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
