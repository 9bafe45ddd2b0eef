"""Processes by descriptor, and what a child still holds when it is about to execute."""

from __future__ import annotations

import ctypes
import os

from pyinit.linux.libc import SYS_CLOSE_RANGE, SYS_KCMP, SYS_TGKILL, libc, syscall

CLOSE_RANGE_CLOEXEC = 4
KCMP_VM = 1
LAST_DESCRIPTOR = 0x7FFFFFFF


def give_way() -> None:
    """Let others have the GIL, and this processor, who wait for them (sched_yield(2)).

    Whoever is woken by one that is about to sleep is put on the same processor, and begins
    only when that one sleeps.
    """
    libc.sched_yield()


def close_range(first: int, last: int = LAST_DESCRIPTOR, flags: int = 0) -> None:
    """Close, or with CLOSE_RANGE_CLOEXEC mark, each descriptor from first to last.

    close_range(2), Linux 5.9 (the flag: 5.11).
    """
    syscall(SYS_CLOSE_RANGE, first, last, flags)


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor above 2 that is not in `kept`."""
    first = 3
    for descriptor in sorted(fd for fd in kept if fd > 2):
        if first < descriptor:
            close_range(first, descriptor - 1)
        first = descriptor + 1
    close_range(first)


def tgkill(process: int, thread: int, signal: int) -> None:
    """Send a signal to one thread of a process, tgkill(2)."""
    syscall(SYS_TGKILL, process, thread, signal)


def shares_memory(one: int, other: int) -> bool:
    """Whether two processes have one address space, as after vfork(2) and before execve(2).

    kcmp(2): False also where the kernel has no such call, or does not let the caller look.
    """
    try:
        return syscall(SYS_KCMP, one, other, KCMP_VM, 0, 0) == 0
    except OSError:
        return False


def start_time(pid: int, proc: str | int = "/proc") -> int:
    """When a process was started, in clock ticks since boot (proc(5), stat, field 22).

    Together with the pid it names one process for as long as the machine is up.
    Raises ProcessLookupError when there is no such process.
    """
    try:
        with open(f"{proc}/{pid}/stat", "rb") as file:
            text = file.read()
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None
    return int(text.rpartition(b")")[2].split()[19])


def is_alive(pid: int, started: int) -> bool:
    """Whether the process that had this pid and start time still runs (zombies don't)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(fields[19]) == started and fields[0] not in (b"Z", b"X")


def open_descriptor(pid: int) -> int:
    """A pidfd of the process, close-on-exec. Raises ProcessLookupError."""
    return os.pidfd_open(pid)


def set_host_name(name: str) -> None:
    """sethostname(2) for this UTS namespace."""
    os_name = name.encode()
    if libc.sethostname(os_name, ctypes.c_size_t(len(os_name))) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)


def set_domain_name(name: str) -> None:
    """setdomainname(2) for this UTS namespace: the NIS domain."""
    encoded = name.encode()
    if libc.setdomainname(encoded, ctypes.c_size_t(len(encoded))) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)


def trim_heap() -> None:
    """Give free memory back to the kernel, malloc_trim(3); nothing where libc has none."""
    trim = getattr(libc, "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
