"""How every other module here calls the kernel: libc's functions and raw system calls.

`CDLL` lets go of the GIL during the call, `PyDLL` keeps it. The second is needed where the
call returns twice (a fork made by clone3).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
libc_holding_gil = ctypes.PyDLL(None, use_errno=True)

libc.syscall.restype = ctypes.c_long
libc_holding_gil.syscall.restype = ctypes.c_long

# Numbers from 424 on are the same on every architecture (asm-generic/unistd.h).
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_FSOPEN = 430
SYS_FSCONFIG = 431
SYS_FSMOUNT = 432
SYS_FSPICK = 433
SYS_PIDFD_OPEN = 434
SYS_CLONE3 = 435
SYS_CLOSE_RANGE = 436
SYS_OPENAT2 = 437
SYS_PIDFD_GETFD = 438
SYS_MOUNT_SETATTR = 442

# x86_64 and aarch64 (and riscv64, which shares the generic table).
_BY_ARCH = {
    "x86_64": {
        "setuid": 105,
        "setgid": 106,
        "setgroups": 116,
        "setresuid": 117,
        "setresgid": 119,
        "capget": 125,
        "capset": 126,
        "pivot_root": 155,
        "prctl": 157,
        "gettid": 186,
        "kcmp": 312,
        "tgkill": 234,
        "setns": 308,
        "unshare": 272,
        "seccomp": 317,
    },
    "generic": {
        "setuid": 146,
        "setgid": 144,
        "setgroups": 159,
        "setresuid": 147,
        "setresgid": 149,
        "capget": 90,
        "capset": 91,
        "pivot_root": 41,
        "prctl": 167,
        "gettid": 178,
        "kcmp": 272,
        "tgkill": 131,
        "setns": 268,
        "unshare": 97,
        "seccomp": 277,
    },
}
_numbers = _BY_ARCH.get(os.uname().machine, _BY_ARCH["generic"])

SYS_CAPGET = _numbers["capget"]
SYS_CAPSET = _numbers["capset"]
SYS_KCMP = _numbers["kcmp"]
SYS_PIVOT_ROOT = _numbers["pivot_root"]
SYS_PRCTL = _numbers["prctl"]
SYS_SETGROUPS = _numbers["setgroups"]
SYS_SETNS = _numbers["setns"]
SYS_SETRESGID = _numbers["setresgid"]
SYS_SETRESUID = _numbers["setresuid"]
SYS_TGKILL = _numbers["tgkill"]
SYS_UNSHARE = _numbers["unshare"]
SYS_SECCOMP = _numbers["seccomp"]

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000


def failed(subject: str | None = None) -> OSError:
    """The OSError for the errno that the last call of this thread left."""
    number = ctypes.get_errno()
    if subject is None:
        return OSError(number, os.strerror(number))
    return OSError(number, os.strerror(number), subject)


def syscall(number: int, *arguments: Any, subject: str | None = None) -> int:
    """One raw system call; the GIL is let go meanwhile.

    Integers are passed as C longs: a plain Python int would be cut to 32 bits.
    Raises OSError, with `subject` as its file name.
    """
    widened = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *widened)
    if result == -1:
        raise failed(subject)
    return result


@contextmanager
def libc_is_known() -> Iterator[None]:
    """Meanwhile ctypes.util has the one answer that libraries want while they are imported: the
    name of the libc that is loaded.

    It is glibc's; where there is another, nothing is found by it. A ctypes.util that the process
    has loaded already is used as it is.
    """
    if "ctypes.util" in sys.modules:
        yield
        return
    known = ModuleType("ctypes.util")
    known.find_library = lambda _name: "libc.so.6"  # type: ignore[attr-defined]
    sys.modules["ctypes.util"] = vars(ctypes)["util"] = known
    try:
        yield
    finally:
        del sys.modules["ctypes.util"], vars(ctypes)["util"]
