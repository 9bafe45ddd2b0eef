"""signalfd(2): signals that are read from a descriptor, in place of handlers."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from pyinit.linux.libc import failed, libc

_CLOEXEC, _NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK
_SignalSet = ctypes.c_byte * 128
_INFO = 128  # bytes of struct signalfd_siginfo
_AT_ONCE = 16


class SignalDescriptor:
    """Readable while one of the signals waits, all of which the process must have blocked."""

    def __init__(self, numbers: Iterable[int]) -> None:
        wanted = _SignalSet()
        libc.sigemptyset(ctypes.byref(wanted))
        for number in numbers:
            libc.sigaddset(ctypes.byref(wanted), number)
        self._descriptor: int = libc.signalfd(-1, ctypes.byref(wanted), _CLOEXEC | _NONBLOCK)
        if self._descriptor < 0:
            raise failed("signalfd")

    def fileno(self) -> int:
        return self._descriptor

    def take(self) -> None:
        """Let what waits count as seen; the same signal sent many times waits once."""
        try:
            os.read(self._descriptor, _INFO * _AT_ONCE)
        except BlockingIOError:
            return

    def close(self) -> None:
        os.close(self._descriptor)
