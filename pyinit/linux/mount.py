"""Mounts by descriptor: the calls of Linux 5.2 and later, and pivot_root.

A path is followed at most once, when its descriptor is opened; from then on the target
is the descriptor, and no symbolic link of a rootfs can lead a mount astray.
"""

from __future__ import annotations

import ctypes
import os

from pyinit.linux.libc import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    SYS_FSCONFIG,
    SYS_FSMOUNT,
    SYS_FSOPEN,
    SYS_MOUNT_SETATTR,
    SYS_MOVE_MOUNT,
    SYS_OPEN_TREE,
    SYS_PIVOT_ROOT,
    failed,
    libc,
    syscall,
)

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
AT_RECURSIVE = 0x8000

MOVE_MOUNT_F_EMPTY_PATH = 0x00000004
MOVE_MOUNT_T_EMPTY_PATH = 0x00000040

FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_SET_FD = 5
FSCONFIG_CMD_CREATE = 6

MOUNT_ATTR_RDONLY = 0x00000001
MOUNT_ATTR_NOSUID = 0x00000002
MOUNT_ATTR_NODEV = 0x00000004
MOUNT_ATTR_NOEXEC = 0x00000008
MOUNT_ATTR_IDMAP = 0x00100000
MOUNT_ATTR_NOSYMFOLLOW = 0x00200000

# struct mount_attr of mount_setattr(2): attr_set, attr_clr, propagation, userns_fd.
_MountAttr = ctypes.c_uint64 * 4


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2), for what the newer calls can't say (propagation, long overlay options)."""
    outcome = libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        os.fsencode(data) or None,
    )
    if outcome != 0:
        raise failed(target)


def umount_detach(target: str) -> None:
    """umount2(2) with MNT_DETACH: out of the tree now, gone when nobody uses it."""
    if libc.umount2(os.fsencode(target), MNT_DETACH) != 0:
        raise failed(target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    syscall(SYS_PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old), subject=new_root)


def open_tree(path: str, *, clone: bool = True, recursive: bool = False, at: int = AT_FDCWD) -> int:
    """A descriptor of the mount at `path`, or of a detached copy of it; open_tree(2)."""
    flags = OPEN_TREE_CLOEXEC | (OPEN_TREE_CLONE if clone else 0)
    flags |= AT_RECURSIVE if recursive else 0
    flags |= AT_EMPTY_PATH if not path else 0
    return syscall(SYS_OPEN_TREE, at, os.fsencode(path), flags, subject=path)


def move_mount(mount_fd: int, target_fd: int, subject: str) -> None:
    """Put a detached mount onto what `target_fd` has open; move_mount(2).

    `subject` names the target in errors.
    """
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    syscall(SYS_MOVE_MOUNT, mount_fd, b"", target_fd, b"", flags, subject=subject)


def new_mount(kind: str, options: dict[str, str | int | None], attributes: int = 0) -> int:
    """A detached mount of a new file system; fsopen(2), fsconfig(2), fsmount(2).

    An option's value is text, a descriptor, or None for a flag.
    """
    context = syscall(SYS_FSOPEN, kind.encode(), FSOPEN_CLOEXEC, subject=kind)
    try:
        _configure(context, kind, "source", kind)
        for key, value in options.items():
            _configure(context, kind, key, value)
        syscall(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0, subject=kind)
        return syscall(SYS_FSMOUNT, context, FSMOUNT_CLOEXEC, attributes, subject=kind)
    finally:
        os.close(context)


def _configure(context: int, kind: str, key: str, value: str | int | None) -> None:
    subject = f"{kind}, option {key}"
    name = key.encode()
    if value is None:
        syscall(SYS_FSCONFIG, context, FSCONFIG_SET_FLAG, name, None, 0, subject=subject)
    elif isinstance(value, int):
        syscall(SYS_FSCONFIG, context, FSCONFIG_SET_FD, name, None, value, subject=subject)
    else:
        text = os.fsencode(value)
        syscall(SYS_FSCONFIG, context, FSCONFIG_SET_STRING, name, text, 0, subject=subject)


def mount_setattr(
    mount_fd: int,
    *,
    add: int = 0,
    remove: int = 0,
    propagation: int = 0,
    userns_fd: int = 0,
    recursive: bool = False,
) -> None:
    """Change what a mount allows; mount_setattr(2), Linux 5.12."""
    attributes = _MountAttr(add, remove, propagation, userns_fd)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall(
        SYS_MOUNT_SETATTR,
        mount_fd,
        b"",
        flags,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
        subject="mount attributes",
    )
