"""Carrying out a mount plan inside a new root, by descriptors.

The root is an open descriptor. A target is opened below it with RESOLVE_IN_ROOT, which
takes the root for "/" while it follows links; targets of our own may not be links at all.
What is then mounted on is the descriptor, so nothing can be swapped in between.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping

from pyinit.container.plan import (
    Bind,
    Device,
    Folder,
    Link,
    Mask,
    NewMount,
    ReadOnly,
    SealRoot,
    Step,
)
from pyinit.errors import SystemFault, UsageError
from pyinit.linux.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from pyinit.linux.mount import (
    MOUNT_ATTR_RDONLY,
    mount_setattr,
    move_mount,
    new_mount,
    open_tree,
)

# Where a link in a rootfs would hide the real kernel file system from the container's own
# programs, or have init write to a file that only looks like one.
NEVER_LINKS = ("/proc", "/sys", "/dev")

# Of every device that a container has: they are for everybody.
DEVICE_MODE = 0o666


def execute(steps: Iterable[Step], root: int, trees: Mapping[str, int] | None = None) -> None:
    """Carry out the plan below the folder that `root` has open.

    `trees` are sources that were opened before, by target (see `pyinit.container.trees`).
    Raises SystemFault naming the step, UsageError where the rootfs can't take it.
    """
    opened = trees or {}
    for step in steps:
        try:
            carry_out(step, root, opened.get(step.target))
        except OSError as error:
            raise SystemFault(step.describe(), error) from error


def carry_out(step: Step, root: int, tree: int | None = None) -> None:
    """One step; of a Bind `tree` is the source, where that was opened before.

    Raises OSError, UsageError.
    """
    match step:
        case NewMount():
            attach(new_mount(step.kind, dict(step.options), step.attributes), root, step.target)
        case Bind():
            _bind(step, root, tree)
        case Device():
            _device(step, root)
        case Link():
            _link(step, root)
        case Folder():
            _folder(step, root)
        case Mask():
            _mask(step, root)
        case ReadOnly():
            _read_only(step, root)
        case SealRoot():
            # Not recursive: /dev, /run, /tmp and the volumes keep what they were mounted with.
            mount_setattr(root, add=MOUNT_ATTR_RDONLY)


def _bind(step: Bind, root: int, tree: int | None) -> None:
    """A file or folder of the host, out of a tree that was opened for it or by its path."""
    copy = os.dup(tree) if tree is not None else open_tree(step.source, recursive=step.recursive)
    try:
        is_folder = stat.S_ISDIR(os.fstat(copy).st_mode)
        if step.attributes:
            mount_setattr(copy, add=step.attributes, recursive=step.recursive)
    except BaseException:
        os.close(copy)
        raise
    attach(copy, root, step.target, folder=is_folder)


def _device(step: Device, root: int) -> None:
    if not _make_device(step, root):
        attach(host_device(step.name, step.major, step.minor), root, step.target, folder=False)


def _make_device(step: Device, root: int) -> bool:
    """Make the node itself, as mknod(2) lets who is root of the host's user namespace."""
    folder = open_target(root, os.path.dirname(step.target))
    try:
        name = os.path.basename(step.target)
        mode = stat.S_IFCHR | DEVICE_MODE
        os.mknod(name, mode, os.makedev(step.major, step.minor), dir_fd=folder)
        os.chmod(name, DEVICE_MODE, dir_fd=folder)  # whatever the umask
    except PermissionError:
        return False
    finally:
        os.close(folder)
    return True


def _link(step: Link, root: int) -> None:
    folder = open_target(root, os.path.dirname(step.target))
    try:
        os.symlink(step.content, os.path.basename(step.target), dir_fd=folder)
    finally:
        os.close(folder)


def _folder(step: Folder, root: int) -> None:
    parent = open_target(root, os.path.dirname(step.target))
    try:
        os.mkdir(os.path.basename(step.target), dir_fd=parent)
        os.chmod(os.path.basename(step.target), step.mode, dir_fd=parent)
    finally:
        os.close(parent)


def _mask(step: Mask, root: int) -> None:
    target = existing(root, step.target)
    if target is None:
        return
    try:
        if stat.S_ISDIR(os.fstat(target).st_mode):
            cover = new_mount("tmpfs", {"size": "0", "mode": "0555"}, MOUNT_ATTR_RDONLY)
        else:
            cover = host_device("null", 1, 3)
        put(cover, target, step.target)
    finally:
        os.close(target)


def _read_only(step: ReadOnly, root: int) -> None:
    target = existing(root, step.target)
    if target is None:
        return
    try:
        copy = open_tree("", at=target, recursive=True)
        mount_setattr(copy, add=MOUNT_ATTR_RDONLY, recursive=True)
        put(copy, target, step.target)
    finally:
        os.close(target)


def host_device(name: str, major: int, minor: int) -> int:
    """A detached mount of the host's device node, once it is known to be that device."""
    copy = open_tree(f"/dev/{name}")
    found = os.fstat(copy)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(major, minor):
        os.close(copy)
        raise UsageError(f"/dev/{name} of the host is not device {major}:{minor}; repair it")
    return copy


def attach(mount_fd: int, root: int, target: str, *, folder: bool = True) -> None:
    """Mount on `target`, which is made where it is missing. Takes over `mount_fd`."""
    try:
        target_fd = open_target(root, target, folder=folder)
    except BaseException:
        os.close(mount_fd)
        raise
    try:
        put(mount_fd, target_fd, target)
    finally:
        os.close(target_fd)


def put(mount_fd: int, target_fd: int, target: str) -> None:
    """Mount on an open descriptor. Takes over `mount_fd`."""
    try:
        move_mount(mount_fd, target_fd, target)
    finally:
        os.close(mount_fd)


def existing(root: int, target: str) -> int | None:
    """The target where it exists, opened without following a link; else None."""
    flags = os.O_PATH | os.O_NOFOLLOW
    try:
        return openat2(root, target, flags, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise


def open_target(root: int, target: str, *, folder: bool = True) -> int:
    """An O_PATH descriptor of a path below `root`, made with its parents where missing.

    Raises UsageError where the rootfs has something there that can't be mounted on.
    """
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    if target.startswith(NEVER_LINKS):
        resolve |= RESOLVE_NO_SYMLINKS
    try:
        return _open(root, target, folder, resolve)
    except FileNotFoundError:
        _make(root, target, folder)
        return _open(root, target, folder, resolve)


def _open(root: int, target: str, folder: bool, resolve: int) -> int:
    try:
        found = openat2(root, target, os.O_PATH, resolve=resolve)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(
                f"{target} of the root is a symbolic link, and must not be one: replace it "
                f"by a {'folder' if folder else 'file'}"
            ) from None
        raise
    is_folder = stat.S_ISDIR(os.fstat(found).st_mode)
    if is_folder == folder:
        return found
    os.close(found)
    raise UsageError(
        f"{target} of the root is a {'folder' if is_folder else 'file'}, and what is to be "
        f"mounted there is a {'folder' if folder else 'file'}"
    )


def _make(root: int, target: str, folder: bool) -> None:
    *above, last = [part for part in target.split("/") if part]
    parent = _make_folders(root, above)
    try:
        if folder:
            os.mkdir(last, 0o755, dir_fd=parent)
        else:
            os.close(os.open(last, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent))
    except FileExistsError:
        # A dangling link: making what it points to would follow it.
        raise UsageError(f"{target} of the root is a link to nothing: remove it") from None
    finally:
        os.close(parent)


def _make_folders(root: int, parts: list[str]) -> int:
    """The folder below `root` that the parts lead to, each made where it is missing."""
    flags = os.O_PATH | os.O_DIRECTORY
    parent = openat2(root, "/", flags, resolve=RESOLVE_IN_ROOT)
    for count, part in enumerate(parts, 1):
        path = "/" + "/".join(parts[:count])
        try:
            found = openat2(root, path, flags, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        except FileNotFoundError:
            os.mkdir(part, 0o755, dir_fd=parent)
            found = openat2(parent, part, flags, resolve=RESOLVE_NO_SYMLINKS)
        finally:
            os.close(parent)
        parent = found
    return parent
