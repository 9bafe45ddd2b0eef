"""clone3(2) used as fork(2): a child in a cgroup v2 of its own, or with another parent."""

from __future__ import annotations

import _signal
import ctypes
import operator
from collections import deque
from itertools import tee

from pyinit.linux.libc import SYS_CLONE3, failed, libc_holding_gil
from pyinit.linux.prctl import prctl

CLONE_PARENT = 0x00008000
CLONE_CHILD_CLEARTID = 0x00200000
CLONE_CHILD_SETTID = 0x01000000
CLONE_INTO_CGROUP = 0x200000000

PR_GET_TID_ADDRESS = 40

_before = ctypes.pythonapi.PyOS_BeforeFork
_after_in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
_after_in_child = ctypes.pythonapi.PyOS_AfterFork_Child
for _hook in (_before, _after_in_parent, _after_in_child):
    _hook.restype = None


class CloneArguments(ctypes.Structure):
    """struct clone_args of linux/sched.h, as of CLONE_ARGS_SIZE_VER2 (Linux 5.7)."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            *("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack"),
            *("stack_size", "tls", "set_tid", "set_tid_size", "cgroup"),
        )
    ]


def fork_into(cgroup: int) -> int:
    """os.fork(), with the child in the cgroup v2 that the descriptor stands for from its start.

    Costs no more than a fork, where writing the child's pid to cgroup.procs takes the kernel
    milliseconds. libc's own fork handlers do not run, so what the child does should be short:
    the locks of malloc are free because other threads hold none of them without the GIL,
    which this one holds. Raises OSError.
    """
    arguments = CloneArguments(flags=CLONE_INTO_CGROUP, exit_signal=_signal.SIGCHLD, cgroup=cgroup)
    return _fork(arguments)


def fork_sibling() -> int:
    """os.fork() in a process of one thread, with the caller's parent as the child's parent.

    What libc's fork does besides is to keep the thread's id where libc looks for it: the
    kernel does that here. Raises OSError.
    """
    address = _tid_address()
    told = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID if address else 0
    return _fork(CloneArguments(flags=CLONE_PARENT | told, child_tid=address))


def _tid_address() -> int:
    """Where libc keeps the calling thread's id; 0 where the kernel was built without the call."""
    found = ctypes.c_uint64(0)
    try:
        prctl(PR_GET_TID_ADDRESS, ctypes.addressof(found))
    except OSError:
        return 0
    return found.value


def _fork(arguments: CloneArguments) -> int:
    size = ctypes.c_size_t(ctypes.sizeof(arguments))
    _before()
    # From the call to the hook behind it no bytecode may run in the child: the interpreter looks
    # after each call whether another thread has asked for the GIL, gives it away, and waits for
    # that thread to have it, which in the child does not exist. So C alone goes from one to the
    # other, by iterators.
    call = map(
        libc_holding_gil.syscall, (ctypes.c_long(SYS_CLONE3),), (ctypes.byref(arguments),), (size,)
    )
    results, chosen = tee(call)
    hooks = map({0: _after_in_child}.get, chosen, (_after_in_parent,))
    deque(map(operator.call, hooks), maxlen=0)
    pid: int = next(results)
    if pid < 0:
        raise failed("clone3")
    return pid
