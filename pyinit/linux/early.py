"""The few calls that must come before the first child, without the 9 ms that ctypes takes.

`_ctypes` is the C part that `ctypes` is written on: it looks a function up and calls it with
integers (passed as C ints), bytes (as pointers) and None (as NULL).
"""

from __future__ import annotations

import _ctypes
import os

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
HIDDEN_SIGNALS = (32, 33)

_SIGNAL_SET_SIZE = 8
# struct sigaction of the kernel, all zero: SIG_DFL, no flags, an empty mask.
_DEFAULT_ACTION = bytes(64)


def _libc(name: str, *arguments: int | bytes | None) -> bool:
    address = _ctypes.dlsym(_ctypes.dlopen(None, 0), name)  # type: ignore[arg-type]
    return bool(_ctypes.call_function(address, arguments) == 0)


def become_subreaper() -> bool:
    """Orphans below this process become its children (prctl(2)). False where refused."""
    return _libc("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(number: int) -> bool:
    """This process gets the signal when the thread that made it ends. False where refused."""
    return _libc("prctl", PR_SET_PDEATHSIG, number, 0, 0, 0)


def default_hidden_signals() -> None:
    """Give 32 and 33 their default disposition, which a child would inherit as ignored.

    Only the raw call can: libc keeps the two to itself. To be called before the first
    thread, for libc then installs handlers of its own.
    """
    number = 13 if os.uname().machine == "x86_64" else 134  # rt_sigaction(2)
    for hidden in HIDDEN_SIGNALS:
        _libc("syscall", number, hidden, _DEFAULT_ACTION, None, _SIGNAL_SET_SIZE)


def detach_mount(path: str) -> bool:
    """umount2(2) with MNT_DETACH, a symbolic link not followed. False where refused."""
    return _libc("umount2", os.fsencode(path), MNT_DETACH | UMOUNT_NOFOLLOW)
