"""What root of a user namespace could not open on the host: opened for it by the maker.

Each is a detached copy of a mount, by descriptor. Idmapped by the container's own user
namespace, so that the ids of its files are the same inside as on the host
(mount_setattr(2), MOUNT_ATTR_IDMAP; Documentation/filesystems/idmappings.rst).
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from pyinit.container.plan import Bind, Step
from pyinit.errors import SystemFault, Unsupported
from pyinit.linux.mount import MOUNT_ATTR_IDMAP, mount_setattr, open_tree
from pyinit.spec.container import Root

# Paths of a default root that stand for this boot of the host, not for its files.
HOST_ROOT = "/"
_UNMAPPABLE = {errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP}


class Source(Struct, frozen=True):
    """A path of the host, and whether what is mounted below it comes along."""

    path: str
    recursive: bool


def open_trees(
    root: Root, steps: list[Step], pid: int, stack: ExitStack, *, mapped: bool = True
) -> dict[str, int]:
    """Every tree of the host that the root and the plan need; closed with `stack`.

    Those of the plan go by their targets, those of the root by `of_root`. `pid` is a process
    in the user namespace that they are `mapped` for; where ids are the same inside and
    outside there is nothing to map. Raises SystemFault, and Unsupported for a file system
    that takes no idmapped mounts.
    """
    userns = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, userns)
    found: dict[str, int] = {}
    for key, source in _wanted(root, steps).items():
        opened = (
            _open(source.path, userns, recursive=source.recursive)
            if mapped
            else _copy(source.path, source.recursive)
        )
        found[key] = opened
        stack.callback(os.close, found[key])
    return found


def of_root(path: str) -> str:
    """The key of a folder that the root is made of; no target begins so."""
    return f"root:{path}"


def _wanted(root: Root, steps: list[Step]) -> dict[str, Source]:
    wanted = {
        step.target: Source(step.source, step.recursive)
        for step in steps
        if isinstance(step, Bind) and step.mapped
    }
    if root.directory is not None:
        wanted[of_root(root.directory)] = Source(root.directory, True)
        return wanted
    folders = list(root.layers or (HOST_ROOT,))
    if root.upper is not None:
        # Upper and work folder have to lie in one mount.
        folders.append(os.path.dirname(root.upper))
    return wanted | {of_root(path): Source(path, False) for path in folders}


def _open(path: str, userns: int, *, recursive: bool) -> int:
    """The tree at `path`, with what is mounted below it only where all of it can be mapped."""
    for whole in (recursive, False):
        tree = _copy(path, whole)
        try:
            mount_setattr(tree, add=MOUNT_ATTR_IDMAP, userns_fd=userns, recursive=whole)
            return tree
        except OSError as error:
            os.close(tree)
            if error.errno not in _UNMAPPABLE:
                raise SystemFault(f"map the ids of {path}", error) from error
    if not Path(path).is_dir():
        return _copy(path, False)  # a file or a device is used as anybody would
    raise Unsupported(
        f"{path}: its file system takes no idmapped mounts: use --userns host, or another folder"
    )


def _copy(path: str, recursive: bool) -> int:
    try:
        return open_tree(path, recursive=recursive)
    except OSError as error:
        raise SystemFault(f"open {path}", error) from error
