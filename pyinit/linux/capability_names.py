"""Capabilities by name and number; a set of them is an int with bit n for number n.

Apart from `capabilities` so that whoever only reads names does not load ctypes.
"""

from __future__ import annotations

from collections.abc import Iterable

# linux/capability.h, in the order of their numbers.
NAMES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)

_NUMBERS = {name: number for number, name in enumerate(NAMES)}


def canonical(name: str) -> str:
    """The kernel's name for what a user wrote: `net_raw`, `NET_RAW` or `CAP_NET_RAW`.

    Raises KeyError when there is no such capability.
    """
    upper = name.strip().upper()
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in _NUMBERS:
        raise KeyError(name)
    return full


def number_of(name: str) -> int:
    """The number of a capability by any spelling that `canonical` takes. Raises KeyError."""
    return _NUMBERS[canonical(name)]


def mask_of(names: Iterable[str]) -> int:
    """The set of the named capabilities. Raises KeyError for a name that is none."""
    mask = 0
    for name in names:
        mask |= 1 << number_of(name)
    return mask


def names_of(mask: int) -> tuple[str, ...]:
    """The names in a set, by number; one newer than this table is called CAP_ and its number."""
    numbers = (number for number in range(mask.bit_length()) if mask >> number & 1)
    return tuple(NAMES[n] if n < len(NAMES) else f"CAP_{n}" for n in numbers)
