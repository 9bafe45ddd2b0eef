"""Taking back what a container had: by whoever comes next, from what its folder says.

Everything that outlives PID 1 is named in state.json, so it can be cleared after any end:
also when PID 1, its maker, or both were killed.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import msgspec

from pyinit.container import cgroup, folder, network, state
from pyinit.errors import PyinitError
from pyinit.spec.container import RESERVED_NAMES

# What stays of an ended container until it is removed: its end, its output.
KILLED = 128 + 9


def clear_ended(path: Path) -> bool:
    """Take back what the container of this folder had, if it has ended. Says whether it has.

    The folder itself stays, with the exit status and the logs. Raises PyinitError.
    """
    found = state.load(path)
    if found is None:
        return not folder.is_listening(path / folder.SOCKET_NAME)
    if found.is_alive():
        return False
    if found.network is not None:
        network.detach(found.network, folder=path.parent / "networks")
    cgroup.remove(found.name, found.cgroups)
    _remove_socket(found)
    _note_killed(path)
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
    """Clear an ended container and forget it: its folder goes too."""
    clear_ended(path)
    shutil.rmtree(path, ignore_errors=True)


def collect() -> list[str]:
    """Clear all that has ended, and forget what was to be removed; the names of those cleared.

    One that can't be cleared does not keep the others from it.
    """
    parent = folder.run_directory()
    cleared = []
    for path in sorted(each for each in _containers(parent) if _has_ended(each)):
        with folder.locked(path.name):
            found = state.load(path)
            try:
                if found is not None and found.remove:
                    remove(path)
                else:
                    clear_ended(path)
            except PyinitError:
                continue
            cleared.append(path.name)
    return cleared


def _containers(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    folders = (each for each in parent.iterdir() if each.is_dir())
    return [each for each in folders if each.name not in RESERVED_NAMES]


def _has_ended(path: Path) -> bool:
    """Whether there is something to clear: an end without a record of it being cleared."""
    found = state.load(path)
    if found is None:
        return False
    return not found.is_alive() and (found.remove or bool(found.leftovers()))
