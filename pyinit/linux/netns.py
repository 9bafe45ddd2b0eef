"""Doing something in another network namespace, from a thread that lives only for that.

The namespace belongs to a thread in the kernel, and a socket stays in the one it was made in
(network_namespaces(7)): the calling thread never leaves its own. Reads and writes below
/proc/sys/net are about the namespace of the thread as well.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from pyinit.linux import libc

CLONE_NEWNET = 0x40000000

Result = TypeVar("Result")


def call_in_netns(netns: int, function: Callable[[], Result]) -> Result:
    """Call `function` in a new thread inside the namespace that the descriptor `netns` names.

    Returns what it returned and raises what it raised; OSError when setns(2) fails.
    """
    call = _Call(netns, function)
    thread = threading.Thread(target=call.run, name="pyinit-netns")
    thread.start()
    thread.join()
    if call.error is not None:
        raise call.error
    return call.results[0]


def netns_of(pid: int | str) -> int:
    """A descriptor, close-on-exec, of the network namespace of a process. Raises OSError."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class _Call(Generic[Result]):
    def __init__(self, netns: int, function: Callable[[], Result]) -> None:
        self.netns = netns
        self.function = function
        self.results: list[Result] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            libc.syscall(libc.SYS_SETNS, self.netns, CLONE_NEWNET, subject="network namespace")
            self.results.append(self.function())
        except BaseException as error:
            self.error = error
