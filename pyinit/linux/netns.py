"""Doing something in another network namespace, from a thread that lives only for that.

The namespace belongs to a thread in the kernel, and a socket stays in the one it was made in
(network_namespaces(7)): the calling thread never leaves its own. Reads and writes below
/proc/sys/net are about the namespace of the thread as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from pyinit.linux import libc
from pyinit.linux.thread import in_thread

CLONE_NEWNET = 0x40000000

Result = TypeVar("Result")


def call_in_netns(netns: int, function: Callable[[], Result]) -> Result:
    """Call `function` in a new thread inside the namespace that the descriptor `netns` names.

    Returns what it returned and raises what it raised; OSError when setns(2) fails.
    """

    def run() -> Result:
        libc.syscall(libc.SYS_SETNS, netns, CLONE_NEWNET, subject="network namespace")
        return function()

    return in_thread(run)


def netns_of(pid: int | str) -> int:
    """A descriptor, close-on-exec, of the network namespace of a process. Raises OSError."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
