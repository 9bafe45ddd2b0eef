"""The container's root: put together, filled by the mount plan, and made "/"."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pyinit.container.mounts import execute, put
from pyinit.container.plan import Step
from pyinit.errors import SystemFault, UsageError
from pyinit.linux.files import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2
from pyinit.linux.mount import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MS_PRIVATE,
    MS_REC,
    mount,
    new_mount,
    open_tree,
    pivot_root,
    umount_detach,
)
from pyinit.spec.container import Root

# Paths of a default root that stand for this boot of the host, not for its files.
HOST_ROOT = "/"
# mount(2) takes one page of options.
OPTION_LIMIT = 4095


def check_root(root: Root) -> None:
    """Raise UsageError where a folder of the root is missing, before anything is made."""
    for path in filter(None, (root.directory, *root.layers)):
        if not os.path.isdir(path):
            raise UsageError(f"no such root folder: {path}; give one that holds a file system")


def enter_root(root: Root, scratch: Path, steps: list[Step], hidden: list[Path]) -> None:
    """In a mount namespace of its own: build the root on `scratch`, carry out the plan, enter.

    `hidden` are paths of the host that a root made of the host's own must not show.
    Afterwards "/" is the container's root, and nothing of the old one is mounted.
    Raises SystemFault, UsageError.
    """
    _make_private()
    descriptor = _attach_root(root, scratch)
    try:
        if root.directory is None and not root.layers:
            for path in hidden:
                _hide(descriptor, path)
        execute(steps, descriptor)
        _pivot(descriptor)
    finally:
        os.close(descriptor)


def _make_private() -> None:
    # On a shared "/" pivot_root gives EINVAL, and our mounts would show up on the host.
    try:
        mount("", "/", "", MS_PRIVATE | MS_REC)
    except OSError as error:
        raise SystemFault("make the mounts private", error) from error


def _attach_root(root: Root, scratch: Path) -> int:
    try:
        if root.directory is not None:
            return _attach_directory(root.directory, scratch)
        return _attach_overlay(root, scratch)
    except OSError as error:
        raise SystemFault("mount the root", error) from error


def _attach_directory(directory: str, scratch: Path) -> int:
    tree = open_tree(directory, recursive=True)
    target = os.open(scratch, os.O_PATH | os.O_CLOEXEC)
    try:
        # `put` closes what it mounts, and the root is needed once more.
        put(os.dup(tree), target, str(scratch))
    finally:
        os.close(target)
    return tree


def _attach_overlay(root: Root, scratch: Path) -> int:
    target = os.open(scratch, os.O_PATH | os.O_CLOEXEC)
    try:
        attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
        put(new_mount("tmpfs", {"mode": "0700"}, attributes), target, str(scratch))
    finally:
        os.close(target)
    upper = Path(root.upper) if root.upper is not None else scratch / "upper"
    work = upper.with_name(f".{upper.name}.work")
    merged = scratch / "merged"
    for folder in (upper, work, merged):
        folder.mkdir(mode=0o755, exist_ok=True)
    options = overlay_options(root.layers or (HOST_ROOT,), upper, work)
    mount("overlay", str(merged), "overlay", 0, options)
    return open_tree(str(merged), clone=False)


def overlay_options(layers: tuple[str, ...], upper: Path, work: Path) -> str:
    """The option string of an overlay mount, uppermost layer first. Raises UsageError."""
    lower = ":".join(_escaped(layer, ":") for layer in layers)
    options = f"lowerdir={lower},upperdir={_escaped(str(upper))},workdir={_escaped(str(work))}"
    if len(os.fsencode(options)) > OPTION_LIMIT:
        raise UsageError("the paths of the layers are too long together: use fewer or shorter")
    return options


def _escaped(path: str, special: str = "") -> str:
    for character in "\\," + special:
        path = path.replace(character, "\\" + character)
    return path


def _hide(root: int, path: Path) -> None:
    """Remove a path of the host from the overlay that shows it: a whiteout in the upper layer."""
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        parent = openat2(root, str(path.parent), flags, resolve=RESOLVE_IN_ROOT)
    except FileNotFoundError:
        return
    try:
        if _is_folder(parent, path.name):
            shutil.rmtree(path.name, dir_fd=parent)
        else:
            os.unlink(path.name, dir_fd=parent)
    except FileNotFoundError:
        return
    finally:
        os.close(parent)


def _is_folder(parent: int, name: str) -> bool:
    try:
        found = openat2(parent, name, os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS)
    except OSError:
        return False
    os.close(found)
    return True


def _pivot(root: int) -> None:
    """pivot_root(".", "."): the old root ends up on top of the new one, and is detached."""
    try:
        os.fchdir(root)
        pivot_root(".", ".")
        umount_detach(".")
        os.chdir("/")
    except OSError as error:
        raise SystemFault("pivot_root", error) from error
