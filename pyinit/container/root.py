"""The container's root: put together, filled by the mount plan, and made "/"."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from pyinit.container.mounts import carry_out, execute, put
from pyinit.container.parts import attach_parts
from pyinit.container.plan import Mask, NewMount, Step
from pyinit.container.trees import HOST_ROOT, of_root
from pyinit.errors import SystemFault, UsageError
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
from pyinit.spec.container import HostDevice, Root

# mount(2) takes one page of options.
OPTION_LIMIT = 4095


def check_root(root: Root) -> None:
    """Raise UsageError where a folder of the root is missing, before anything is made."""
    for path in filter(None, (root.directory, *root.layers)):
        if not os.path.isdir(path):
            raise UsageError(f"no such root folder: {path}; give one that holds a file system")
    if root.upper is not None and not os.path.isdir(os.path.dirname(root.upper)):
        raise UsageError(f"--upper {root.upper}: the folder that it is to be in does not exist")


def check_devices(devices: Iterable[HostDevice]) -> None:
    """Raise UsageError where one is no device of the host."""
    for each in devices:
        try:
            mode = os.stat(each.source).st_mode
        except OSError as error:
            raise UsageError(f"--device {each.source}: {error.strerror}") from None
        if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
            raise UsageError(f"--device {each.source}: no device; show other files with --volume")


class Materials(Struct, frozen=True):
    """What a root is made of besides its description.

    `trees` are folders that the maker opened (`pyinit.container.trees`), by `of_root` or
    target. `rootless` is an ordinary user's: mounts of the host are locked together there.
    `hidden` are real paths of the host that a root made of the host's own must not show.
    """

    steps: list[Step]
    trees: Mapping[str, int]
    hidden: tuple[Path, ...] = ()
    rootless: bool = False


def enter_root(root: Root, materials: Materials) -> None:
    """In a mount namespace of its own: build the root, carry out the plan, enter it.

    The working folder is an empty one of the container's own, which is mounted over.
    Afterwards "/" is the container's root, and nothing of the old one is mounted.
    Raises SystemFault, UsageError.
    """
    _make_private()
    descriptor = _attach_root(root, materials)
    try:
        if root.directory is None and not root.layers:
            for path in _visible(materials.hidden, materials.steps):
                _hide(descriptor, path)
        execute(materials.steps, descriptor, materials.trees)
        _pivot(descriptor)
    finally:
        os.close(descriptor)


def _make_private() -> None:
    # On a shared "/" pivot_root gives EINVAL, and our mounts would show up on the host.
    try:
        mount("", "/", "", MS_PRIVATE | MS_REC)
    except OSError as error:
        raise SystemFault("make the mounts private", error) from error


def _attach_root(root: Root, materials: Materials) -> int:
    try:
        if root.directory is not None:
            return _attach_directory(root.directory, materials.trees)
        _enter_scratch()
        if materials.rootless and not root.layers:
            return attach_parts(HOST_ROOT, _keep_upper(root))
        return _attach_overlay(root, materials.trees)
    except OSError as error:
        raise SystemFault("mount the root", error) from error


def _attach_directory(directory: str, trees: Mapping[str, int]) -> int:
    opened = trees.get(of_root(directory))
    tree = open_tree(directory, recursive=True) if opened is None else os.dup(opened)
    target = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        # `put` closes what it mounts, and the root is needed once more.
        put(os.dup(tree), target, directory)
    finally:
        os.close(target)
    return tree


def _enter_scratch() -> None:
    """A tmpfs on the working folder, which becomes the working folder itself."""
    fresh = new_mount("tmpfs", {"mode": "0700"}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
    target = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        put(os.dup(fresh), target, "the container's folder")
        os.fchdir(fresh)
    finally:
        os.close(target)
        os.close(fresh)


def _keep_upper(root: Root) -> Path:
    return Path(root.upper) if root.upper is not None else Path("upper")


def _attach_overlay(root: Root, trees: Mapping[str, int]) -> int:
    upper = _upper_folder(root, trees)
    work = work_folder(upper)
    for folder in (upper, work, Path("merged")):
        folder.mkdir(mode=0o755, exist_ok=True)
    layers = tuple(
        _layer(path, f"lower{number}", trees)
        for number, path in enumerate(root.layers or (HOST_ROOT,))
    )
    mount("overlay", "merged", "overlay", 0, overlay_options(layers, upper, work))
    return open_tree("merged", clone=False)


def work_folder(upper: Path) -> Path:
    """Where overlayfs keeps what it works on: beside the upper folder, in the same mount."""
    return upper.with_name(f".{upper.name}.work")


def _upper_folder(root: Root, trees: Mapping[str, int]) -> Path:
    if root.upper is None:
        return Path("upper")
    return Path(_layer(os.path.dirname(root.upper), "kept", trees), os.path.basename(root.upper))


def _layer(path: str, name: str, trees: Mapping[str, int]) -> str:
    """A folder of the host, or where the tree that was opened of it is mounted."""
    opened = trees.get(of_root(path))
    if opened is None:
        return path
    os.mkdir(name)
    target = os.open(name, os.O_PATH | os.O_CLOEXEC)
    try:
        put(os.dup(opened), target, path)
    finally:
        os.close(target)
    return name


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


def _visible(paths: tuple[Path, ...], steps: list[Step]) -> list[Path]:
    """Those of the host's paths that the plan does not cover by something new anyway."""
    covers = [Path(step.target) for step in steps if isinstance(step, NewMount)]
    return [path for path in paths if not any(path.is_relative_to(cover) for cover in covers)]


def _hide(root: int, path: Path) -> None:
    """Keep a path of the host from being seen: an empty folder or /dev/null over it."""
    try:
        carry_out(Mask(str(path)), root)
    except OSError as error:
        if error.errno != errno.EACCES:  # what can't be reached can't be seen
            raise


def _pivot(root: int) -> None:
    """pivot_root(".", "."): the old root ends up on top of the new one, and is detached."""
    try:
        os.fchdir(root)
        pivot_root(".", ".")
        umount_detach(".")
        os.chdir("/")
    except OSError as error:
        raise SystemFault("pivot_root", error) from error
