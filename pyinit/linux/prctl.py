"""prctl(2): attributes of the calling thread, and a few of its process.

All of them are per thread save PR_SET_DUMPABLE and PR_SET_CHILD_SUBREAPER, which
belong to the process. The GIL is kept: each of these calls only writes a field.
"""

from __future__ import annotations

import ctypes

from .libc import failed, libc_holding_gil

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_GET_KEEPCAPS = 7
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_GET_NAME = 16
PR_GET_SECCOMP = 21
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_GET_SECUREBITS = 27
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47

PR_CAP_AMBIENT_IS_SET = 1
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_LOWER = 3
PR_CAP_AMBIENT_CLEAR_ALL = 4

_prctl = libc_holding_gil.prctl
_prctl.restype = ctypes.c_int
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """One prctl call with integer arguments. Raises OSError."""
    result: int = _prctl(option, arg2, arg3, arg4, arg5)
    if result == -1:
        raise failed(f"prctl({option})")
    return result


def set_no_new_privs() -> None:
    """From now on no execve of this thread or its children gains privileges. Irrevocable."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def no_new_privs() -> bool:
    """Whether the calling thread has set no_new_privs."""
    return prctl(PR_GET_NO_NEW_PRIVS) == 1


def set_dumpable(dumpable: bool) -> None:
    """Whether others of the same user may ptrace this process and open its /proc files.

    The kernel turns it off (to fs.suid_dumpable) each time a thread's effective or
    filesystem id changes, or its permitted capabilities grow: see commit_creds.
    """
    prctl(PR_SET_DUMPABLE, int(dumpable))


def is_dumpable() -> bool:
    """Whether the process is dumpable by its own user (value 1, not 0 or 2)."""
    return prctl(PR_GET_DUMPABLE) == 1


def set_keep_capabilities(keep: bool) -> None:
    """Keep the permitted set when the last of the three user ids leaves 0; cleared by execve."""
    prctl(PR_SET_KEEPCAPS, int(keep))


def set_securebits(bits: int) -> None:
    """Set the thread's securebits (SECBIT_ of `capabilities`). Needs CAP_SETPCAP."""
    prctl(PR_SET_SECUREBITS, bits)


def securebits() -> int:
    """The calling thread's securebits."""
    return prctl(PR_GET_SECUREBITS)


def set_child_subreaper(on: bool) -> None:
    """Whether orphans below this process become its children. For all its threads."""
    prctl(PR_SET_CHILD_SUBREAPER, int(on))


def set_parent_death_signal(number: int) -> None:
    """The signal sent when the *thread* that made this process ends; 0 for none.

    Cleared by execve of a set-user-id or file-capabilities program, and by a change of
    the effective user id, so set it after that.
    """
    prctl(PR_SET_PDEATHSIG, number)


def set_name(name: str) -> None:
    """The calling thread's name as /proc/*/comm shows it, cut to 15 bytes."""
    buffer = ctypes.create_string_buffer(name.encode(errors="replace")[:15])
    prctl(PR_SET_NAME, ctypes.addressof(buffer))
