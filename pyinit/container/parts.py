"""A default root for who is no root: the host's top-level folders, one by one.

In a user namespace the mounts of the host are locked together, and overlayfs refuses a
lower folder with something locked below it, "/" above all. So each folder gets an overlay
of its own; one that can't have one is bound as it is, read-only.
"""

from __future__ import annotations

import os
from pathlib import Path

from pyinit.container.mounts import put
from pyinit.linux.mount import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    mount,
    mount_setattr,
    new_mount,
    open_tree,
)

# Made by the mount plan, or nobody's business.
OWN = frozenset({"proc", "sys", "dev", "run", "tmp", "lost+found"})
# The user inside is another one than on the host: an empty home is of more use.
EMPTY = frozenset({"root"})


def attach_parts(host: str, upper: Path) -> int:
    """Put the root together in the working folder, a tmpfs; returns a descriptor of it.

    What is written to a folder goes below `upper`. Raises OSError.
    """
    os.mkdir("merged")
    target = os.open("merged", os.O_PATH | os.O_CLOEXEC)
    root = new_mount("tmpfs", {"mode": "0755"}, MOUNT_ATTR_NODEV)
    try:
        put(os.dup(root), target, "the root")
        with os.scandir(host) as entries:
            for entry in entries:
                if entry.name not in OWN:
                    _add(entry, root, upper)
    except BaseException:
        os.close(root)
        raise
    finally:
        os.close(target)
    return root


def _add(entry: os.DirEntry[str], root: int, upper: Path) -> None:
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), entry.name, dir_fd=root)
        return
    if not entry.is_dir():
        return
    os.mkdir(entry.name, 0o755, dir_fd=root)
    if entry.name in EMPTY:
        os.chmod(entry.name, 0o700, dir_fd=root)
        return
    try:
        _overlay(entry, upper)
    except OSError:
        _bind(entry, root)


def _overlay(entry: os.DirEntry[str], upper: Path) -> None:
    written, work = upper / entry.name, upper.with_name(f".{upper.name}.work") / entry.name
    for folder in (written, work):
        folder.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={_plain(entry.path)},upperdir={written},workdir={work}"
    try:
        mount("overlay", f"merged/{entry.name}", "overlay", 0, f"{options},userxattr")
    except OSError:
        # A tmpfs has had extended attributes of users since Linux 6.6 only.
        mount("overlay", f"merged/{entry.name}", "overlay", 0, options)


def _plain(path: str) -> str:
    for character in "\\,:":
        path = path.replace(character, "\\" + character)
    return path


def _bind(entry: os.DirEntry[str], root: int) -> None:
    target = os.open(entry.name, os.O_PATH | os.O_CLOEXEC, dir_fd=root)
    try:
        copy = open_tree(entry.path, recursive=True)
        mount_setattr(copy, add=MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, recursive=True)
        put(copy, target, entry.path)
    finally:
        os.close(target)
