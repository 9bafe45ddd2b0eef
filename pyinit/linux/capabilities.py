"""The calling thread's capability sets, by the raw calls: capabilities(7).

libcap and glibc would change or cache more than the one thread. Sets are ints, as in
`capability_names`. The GIL is kept: each call only copies a few words.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from .libc import SYS_CAPGET, SYS_CAPSET, failed, libc_holding_gil
from .prctl import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_IS_SET,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_CAPBSET_READ,
    prctl,
)

# linux/securebits.h
SECBIT_NOROOT = 1 << 0
SECBIT_NO_SETUID_FIXUP = 1 << 2
SECBIT_KEEP_CAPS = 1 << 4
SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6

_VERSION_3 = 0x20080522
_LOW = 0xFFFFFFFF


class _Header(ctypes.Structure):
    """struct __user_cap_header_struct; pid 0 is the calling thread."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    """struct __user_cap_data_struct: 32 capabilities of each set."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_Words = _Word * 2


class ThreadSets(NamedTuple):
    """The three sets that capset(2) changes."""

    effective: int
    permitted: int
    inheritable: int


def _call(number: int, words: ctypes.Array[_Word], doing: str) -> None:
    header = _Header(_VERSION_3, 0)
    result = libc_holding_gil.syscall(
        ctypes.c_long(number), ctypes.byref(header), ctypes.byref(words)
    )
    if result == -1:
        raise failed(doing)


def get_sets() -> ThreadSets:
    """The calling thread's effective, permitted and inheritable set."""
    words = _Words()
    _call(SYS_CAPGET, words, "capget")
    low, high = words
    return ThreadSets(
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def set_sets(sets: ThreadSets) -> None:
    """Give the calling thread these sets. Raises PermissionError as capset(2) tells."""
    words = _Words(
        _Word(*(mask & _LOW for mask in sets)),
        _Word(*(mask >> 32 & _LOW for mask in sets)),
    )
    _call(SYS_CAPSET, words, "capset")


def set_inheritable(mask: int) -> None:
    """Change only the inheritable set; what it may hold, the bounding set limits."""
    set_sets(get_sets()._replace(inheritable=mask))


def in_bounding_set(number: int) -> bool:
    """Whether the thread's bounding set has a capability. Raises OSError for an unknown number."""
    return prctl(PR_CAPBSET_READ, number) == 1


def _find_last() -> int:
    """The highest capability this kernel knows.

    The same as /proc/sys/kernel/cap_last_cap, without a file: the kernel answers EINVAL
    for what lies above it.
    """
    number = 0
    try:
        while number < 63:
            in_bounding_set(number + 1)
            number += 1
    except OSError:
        pass
    return number


LAST = _find_last()
ALL = (1 << LAST + 1) - 1


def bounding_set() -> int:
    """The calling thread's bounding set."""
    return sum(1 << number for number in range(LAST + 1) if in_bounding_set(number))


def limit_bounding_set(keep: int) -> None:
    """Drop from the calling thread's bounding set all that `keep` lacks. Irrevocable.

    What the thread holds stays; it is at execve that its children get no more than this.
    Raises PermissionError without CAP_SETPCAP, if there is something to drop.
    """
    for number in range(LAST + 1):
        if not keep >> number & 1 and in_bounding_set(number):
            prctl(PR_CAPBSET_DROP, number)


def clear_ambient() -> None:
    """Empty the calling thread's ambient set."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


def raise_ambient(mask: int) -> None:
    """Add to the ambient set: what a program without file capabilities keeps through execve.

    Each must be permitted and inheritable. Raises PermissionError otherwise.
    """
    for number in range(mask.bit_length()):
        if mask >> number & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)


def ambient_set() -> int:
    """The calling thread's ambient set."""
    return sum(
        1 << number
        for number in range(LAST + 1)
        if prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number) == 1
    )
