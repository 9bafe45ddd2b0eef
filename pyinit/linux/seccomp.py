"""Loading a seccomp filter that somebody else compiled: seccomp(2), without libseccomp.

PID 1 has neither the library nor a reason to parse profiles: it gets BPF, made on the
host before the container was.
"""

from __future__ import annotations

import ctypes
import errno

from .libc import SYS_SECCOMP, failed, libc_holding_gil

SECCOMP_SET_MODE_FILTER = 1

SECCOMP_RET_KILL_PROCESS = 0x80000000
SECCOMP_RET_KILL_THREAD = 0x00000000
SECCOMP_RET_TRAP = 0x00030000
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_USER_NOTIF = 0x7FC00000
SECCOMP_RET_TRACE = 0x7FF00000
SECCOMP_RET_LOG = 0x7FFC0000
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ACTION_FULL = 0xFFFF0000
SECCOMP_RET_DATA = 0x0000FFFF

BPF_MAXINSNS = 4096
INSTRUCTION_SIZE = 8  # struct sock_filter


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def load_filter(program: bytes) -> None:
    """Filter the system calls of the calling thread and of its children. Irrevocable.

    `program` is an array of struct sock_filter. Raises OSError: EACCES where the thread
    has neither no_new_privs nor CAP_SYS_ADMIN in its user namespace, EINVAL for what is
    no filter.
    """
    count, rest = divmod(len(program), INSTRUCTION_SIZE)
    if rest or not 0 < count <= BPF_MAXINSNS:
        raise OSError(errno.EINVAL, f"{len(program)} bytes are no filter", "seccomp")
    instructions = ctypes.create_string_buffer(program, len(program))
    described = _Program(count, ctypes.addressof(instructions))
    result = libc_holding_gil.syscall(
        ctypes.c_long(SYS_SECCOMP),
        ctypes.c_long(SECCOMP_SET_MODE_FILTER),
        ctypes.c_long(0),
        ctypes.byref(described),
    )
    if result == -1:
        raise failed("seccomp")
