"""clone3(2) used as fork(2): a child that starts in a cgroup v2 of its own."""

from __future__ import annotations

import ctypes
import signal

from pyinit.linux.libc import SYS_CLONE3, failed, libc_holding_gil

CLONE_INTO_CGROUP = 0x200000000

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
    arguments = CloneArguments(
        flags=CLONE_INTO_CGROUP, exit_signal=signal.SIGCHLD.value, cgroup=cgroup
    )
    size = ctypes.c_size_t(ctypes.sizeof(arguments))
    _before()
    pid: int = libc_holding_gil.syscall(ctypes.c_long(SYS_CLONE3), ctypes.byref(arguments), size)
    if pid == 0:
        _after_in_child()
        return 0
    error = failed("clone3") if pid < 0 else None
    _after_in_parent()
    if error is not None:
        raise error
    return pid
