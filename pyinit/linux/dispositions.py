"""Dispositions of the two signals that libc keeps to itself (nptl(7)).

A child inherits an ignored signal, and neither Python's signal module nor posix_spawn can
give 32 and 33 their default back: only the raw call can.
"""

from __future__ import annotations

import ctypes
import os

from pyinit.linux.libc import syscall

SYS_RT_SIGACTION = 13 if os.uname().machine == "x86_64" else 134
HIDDEN_SIGNALS = (32, 33)
_SIGNAL_SET_SIZE = 8


def reset_hidden_signals() -> None:
    """Give the default disposition back to the signals that libc hides, where it is ignored.

    rt_sigaction(2). libc installs its own handlers again when it needs them.
    """
    default = (ctypes.c_ulong * 8)()
    for number in HIDDEN_SIGNALS:
        found = (ctypes.c_ulong * 8)()
        syscall(SYS_RT_SIGACTION, number, None, ctypes.byref(found), _SIGNAL_SET_SIZE)
        if found[0] == 1:  # SIG_IGN
            syscall(SYS_RT_SIGACTION, number, ctypes.byref(default), None, _SIGNAL_SET_SIZE)
