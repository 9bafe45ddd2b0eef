"""Taking back what a container had: by whoever comes next, from what its folder says.

Everything that outlives PID 1 is named in state.json, so it can be cleared after any end:
also when PID 1, its maker, or both were killed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from pyinit.container import cgroup, folder, idranges, network, pins, state
from pyinit.errors import PyinitError
from pyinit.spec.container import RESERVED_NAMES

# What stays of an ended container until it is removed: its end, its output.
KILLED = 128 + 9


def clear_ended(path: Path) -> bool:
    """Take back what the container of this folder had, if it has ended. Says whether it has.

    The folder itself stays, with the exit status, the logs and the namespaces that are kept.
    To be called under the name's lock. Raises PyinitError.
    """
    found = state.load(path)
    if found is None:
        return not folder.is_listening(path / folder.SOCKET_NAME)
    if found.is_alive():
        return False
    kept = pins.pinned(path)
    if "net" not in kept:
        network.clear_owner(found.name, folder=path.parent / "networks")
    cgroup.remove(found.name, found.cgroups)
    if "user" not in kept:
        idranges.release(found.name)
    if found.upper is not None:
        from pyinit.container.root import work_folder

        folder.remove_tree(work_folder(Path(found.upper)))
    folder.remove_tree(path / folder.SCRATCH)
    _remove_socket(found)
    _note_killed(path)
    if not found.cleared:
        state.save(path, msgspec.structs.replace(found, cleared=True))
    return True


def _remove_socket(found: state.State) -> None:
    control = Path(found.control)
    if control.is_socket() and not folder.is_listening(control):
        control.unlink(missing_ok=True)


def _note_killed(path: Path) -> None:
    """PID 1 writes its end itself; only SIGKILL keeps it from doing so."""
    record = path / folder.EXIT_NAME
    if record.exists() and record.stat().st_size:
        return
    killed = {
        "code": None,
        "signal": 9,
        "exit_code": KILLED,
        "reason": "init was killed",
        "ended": time.time(),
    }
    temporary = record.with_name(f".{record.name}")
    temporary.write_bytes(msgspec.json.encode(killed))
    temporary.rename(record)


def remove(path: Path) -> None:
    """Clear an ended container and forget it: its folder goes too, and what it kept."""
    pins.release(path)
    clear_ended(path)
    folder.remove_tree(path)


def forget_ended(path: Path) -> None:
    """Make way for a new container of that name.

    Raises InUse while the old one lives, also when it answers no more because it is about to
    end, and while somebody else stays with it to read how it ended.
    """
    found = state.load(path)
    if found is not None and (
        found.is_alive() or (found.is_kept() and found.keeper != os.getpid())
    ):
        raise folder.in_use(path.name)
    if path.exists() and clear_ended(path):
        remove(path)


def clear(name: str) -> None:
    """Clear one container, if it has ended, and forget it where that was asked for."""
    with folder.locked(name) as path:
        _clear_or_remove(path)


def clear_after(name: str, pid: int, *, forget: bool) -> None:
    """Clear the container of that name whose PID 1 was `pid`; with `forget` its folder goes too.

    Nothing where the name has passed on to another container meanwhile. Raises PyinitError.
    """
    with folder.locked(name) as path:
        found = state.load(path)
        if found is None or found.pid != pid:
            return
        if forget:
            remove(path)
        else:
            clear_ended(path)


def end_left(name: str) -> None:
    """End what is left in the cgroups of a container whose init is on its way out.

    The kernel lets an init go when its namespace is empty, and on cgroup v1 what is frozen
    does not die before it is thawed. Raises PyinitError.
    """
    with folder.locked(name) as path:
        found = state.load(path)
        if found is not None:
            cgroup.remove(found.name, found.cgroups)


def collect() -> list[str]:
    """Clear all that has ended, and forget what was to be removed; the names of those cleared.

    What others start or clear just now is theirs. One that can't be cleared does not keep
    the others from it.
    """
    parent = folder.run_directory()
    names = [path.name for path in _containers(parent) if _has_ended(path)]
    return [name for name in sorted({*names, *_ownerless(parent)}) if _collect_one(name)]


def _collect_one(name: str) -> bool:
    with folder.try_locked(name) as path:
        if path is None:
            return False
        try:
            return _clear_or_remove(path)
        except PyinitError:
            return False


def _clear_or_remove(path: Path) -> bool:
    """Under the name's lock: whether there was something to be cleared."""
    found = state.load(path)
    if found is None:
        return _clear_half_made(path)
    if found.is_alive():
        return False
    if not found.pid or (found.remove and not found.is_kept()):
        remove(path)
    else:
        clear_ended(path)
    return True


def _clear_half_made(path: Path) -> bool:
    """What is left where a maker was killed before it could write down what it made."""
    if folder.is_listening(path / folder.SOCKET_NAME):
        return False
    network.clear_owner(path.name, folder=path.parent / "networks")
    idranges.release(path.name)
    if not (path / folder.SCRATCH).is_dir():
        return True  # no folder at all, or none that we made
    for group in cgroup.leftovers().get(path.name, []):
        if not cgroup.is_populated(group):
            cgroup.remove(path.name, [group])
    cgroup.remove_all_stale(path.name)
    folder.remove_tree(path)
    return True


def _containers(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    folders = (each for each in parent.iterdir() if each.is_dir())
    return [each for each in folders if each.name not in RESERVED_NAMES]


def _has_ended(path: Path) -> bool:
    """Whether there is something to clear: an end without a record of it being cleared."""
    found = state.load(path)
    if found is None:
        return (path / folder.SCRATCH).is_dir()
    if found.is_alive():
        return False
    return not found.cleared or (found.remove and not found.is_kept())


def _ownerless(parent: Path) -> Iterable[str]:
    """Names without a folder that hold addresses or ids."""
    owners = network.owners(folder=parent / "networks") | set(idranges.leased())
    return (name for name in owners if not (parent / name).exists())
