"""openat2(2): opening a path inside somebody else's root without being led out of it."""

from __future__ import annotations

import ctypes
import errno
import os

from .libc import SYS_OPENAT2, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
RESOLVE_CACHED = 0x20


class OpenHow(ctypes.Structure):
    """struct open_how of linux/openat2.h."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


# RESOLVE_IN_ROOT answers EAGAIN when a rename or mount anywhere on the machine raced
# with a ".." of the path; the kernel asks callers to try again, with a limit of their own.
_ATTEMPTS = 64


def openat2(
    directory: int, path: str | bytes, flags: int, *, mode: int = 0, resolve: int = 0
) -> int:
    """Open `path` relative to the descriptor `directory`; O_CLOEXEC is always added.

    `mode` (permission bits) counts only with O_CREAT or O_TMPFILE: the kernel refuses it
    elsewhere, so it is then left out. Raises OSError with the path: ELOOP for a symlink
    that `resolve` forbids, EXDEV for a path that leads out, EINVAL for a NUL byte in it.
    """
    makes_file = flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE
    how = OpenHow(flags | os.O_CLOEXEC, mode if makes_file else 0, resolve)
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), os.fsdecode(raw))
    for attempt in range(_ATTEMPTS):
        try:
            return syscall(
                SYS_OPENAT2,
                directory,
                ctypes.c_char_p(raw),
                ctypes.byref(how),
                ctypes.sizeof(how),
                subject=os.fsdecode(raw),
            )
        except BlockingIOError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def open_in_root(root: int, path: str | bytes, flags: int, *, mode: int = 0) -> int:
    """Open `path` as a process chrooted into the descriptor `root` would.

    Absolute symlinks and ".." stay inside; links of /proc such as /proc/1/root, which
    jump anywhere, are refused with ELOOP. Raises OSError with the path.
    """
    return openat2(root, path, flags, mode=mode, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
