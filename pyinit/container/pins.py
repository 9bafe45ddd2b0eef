"""Namespaces kept after their last process: bound in the container's folder, `ns/`.

The folder is a mount of its own that is private, for a namespace can't be bound on a mount
that is shared, and nothing of it reaches other mount namespaces.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from pyinit.errors import SystemFault, Unsupported
from pyinit.linux.mount import MS_BIND, MS_PRIVATE, mount, umount_detach

FOLDER = "ns"


def path(place: Path, kind: str) -> Path:
    """Where a namespace of the container with this folder is bound."""
    return place / FOLDER / kind


def is_namespace(file: Path | int) -> bool:
    """Whether the file is one of nsfs."""
    try:
        return os.stat(file).st_dev == os.stat("/proc/self/ns/net").st_dev
    except OSError:
        return False


def pinned(place: Path) -> list[str]:
    """The kinds that are kept for the container with this folder."""
    try:
        names = sorted(os.listdir(place / FOLDER))
    except OSError:
        return []
    return [name for name in names if is_namespace(path(place, name))]


def pin(place: Path, pid: int, kinds: Iterable[str], undo: ExitStack) -> None:
    """Keep namespaces of the process `pid`. Raises Unsupported without root, SystemFault."""
    wanted = tuple(kinds)
    if not wanted:
        return
    check(wanted)
    base = place / FOLDER
    undo.callback(release, place)
    try:
        base.mkdir(mode=0o700)
        mount(str(base), str(base), "", MS_BIND)
        mount("", str(base), "", MS_PRIVATE)
        for kind in wanted:
            (base / kind).touch(mode=0o600)
            mount(f"/proc/{pid}/ns/{kind}", str(base / kind), "", MS_BIND)
    except OSError as error:
        raise SystemFault(f"pin the namespaces in {base}", error) from error


def check(kinds: tuple[str, ...]) -> None:
    """Raise Unsupported where namespaces are to be pinned and can't be."""
    if kinds and os.geteuid() != 0:
        raise Unsupported("--pin takes root: keep a container running, and join --net container:…")


def release(place: Path, kinds: Iterable[str] | None = None) -> list[str]:
    """Let go of the kinds, or of all; the names of those that were kept. Raises SystemFault."""
    base = place / FOLDER
    wanted = pinned(place) if kinds is None else [k for k in pinned(place) if k in set(kinds)]
    try:
        for kind in wanted:
            umount_detach(str(base / kind))
            (base / kind).unlink()
        if base.is_dir() and not pinned(place):
            for left in base.iterdir():
                left.unlink()
            _unmount_folder(base)
            base.rmdir()
    except OSError as error:
        raise SystemFault(f"release the namespaces in {base}", error) from error
    return wanted


def _unmount_folder(base: Path) -> None:
    try:
        umount_detach(str(base))
    except OSError as error:
        if error.errno != errno.EINVAL:  # that it was never mounted
            raise
