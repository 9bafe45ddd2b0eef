"""A function in a thread of its own: namespaces, credentials and cgroups belong to threads."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_thread(function: Callable[[], T]) -> T:
    """Call the function in a new thread and wait for it; returns or raises what it does.

    Its thread is gone afterwards, with all that it took on. Without the module `threading`,
    whose records a fork in that thread would have to put right.
    """
    results: list[T] = []
    failures: list[BaseException] = []
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            results.append(function())
        except BaseException as failure:  # it is raised where it is waited for
            failures.append(failure)
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    done.acquire()
    if failures:
        raise failures.pop()
    return results.pop()
