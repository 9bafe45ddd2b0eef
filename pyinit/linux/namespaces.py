"""Namespaces: leaving them, joining them, naming them (namespaces(7))."""

from __future__ import annotations

from pyinit.linux.libc import SYS_SETNS, SYS_UNSHARE, syscall

CLONE_FS = 0x00000200
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# By the names under /proc/PID/ns.
FLAGS = {
    "mnt": CLONE_NEWNS,
    "pid": CLONE_NEWPID,
    "net": CLONE_NEWNET,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "cgroup": CLONE_NEWCGROUP,
    "user": CLONE_NEWUSER,
    "time": CLONE_NEWTIME,
}


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones, unshare(2).

    Counts for the calling thread. CLONE_NEWPID and CLONE_NEWTIME count for its
    children only; CLONE_NEWUSER needs a process of one thread.
    """
    syscall(SYS_UNSHARE, flags)


def setns(descriptor: int, flags: int = 0) -> None:
    """Join the namespace that `descriptor` names, setns(2); for the calling thread."""
    syscall(SYS_SETNS, descriptor, flags)
