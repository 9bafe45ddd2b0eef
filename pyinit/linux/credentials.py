"""The calling thread's user, groups and filesystem attributes, by the raw calls.

In the kernel these belong to a thread. glibc's setresuid and its like send a signal to
every thread to change all of them together (nptl(7)), which is what POSIX asks for and
just what a thread that takes on a command's credentials must not do. The GIL is kept:
each call only writes a few words.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from .libc import (
    SYS_SETGROUPS,
    SYS_SETRESGID,
    SYS_SETRESUID,
    SYS_UNSHARE,
    failed,
    libc_holding_gil,
)

CLONE_FS = 0x200

UNCHANGED = -1

# A function object of its own, so that these argument types are nobody else's.
_syscall3 = libc_holding_gil["syscall"]
_syscall3.restype = ctypes.c_long
_syscall3.argtypes = [ctypes.c_long] * 4


def _call(number: int, doing: str, first: int, second: int = 0, third: int = 0) -> None:
    if _syscall3(number, first, second, third) == -1:
        raise failed(doing)


def set_user_ids(real: int, effective: int, saved: int) -> None:
    """setresuid for the calling thread alone; UNCHANGED leaves one as it is. Raises OSError."""
    _call(SYS_SETRESUID, "setresuid", real, effective, saved)


def set_group_ids(real: int, effective: int, saved: int) -> None:
    """setresgid for the calling thread alone; UNCHANGED leaves one as it is. Raises OSError."""
    _call(SYS_SETRESGID, "setresgid", real, effective, saved)


def set_groups(groups: Sequence[int]) -> None:
    """The supplementary groups of the calling thread alone. Raises OSError.

    EPERM also in a user namespace whose /proc/self/setgroups says deny.
    """
    array = (ctypes.c_uint32 * len(groups))(*groups)
    _call(SYS_SETGROUPS, "setgroups", len(groups), ctypes.addressof(array))


def unshare_filesystem_attributes() -> None:
    """From now on the calling thread has a root, working folder and umask of its own."""
    _call(SYS_UNSHARE, "unshare(CLONE_FS)", CLONE_FS)
