"""What a container's folder tells without asking its init: state.json and exit.json.

state.json is written by whoever launched the container, exit.json by its init as the last
thing it does. Both can be missing or broken (a full disk, a kill at the wrong moment); no
such thing keeps a container from being listed or removed.
"""

from __future__ import annotations

import os
from typing import Any

from pyinit.errors import NotFound, ProtocolError, SystemFault
from pyinit.varlink.lean_json import loads
from pyinit_ctl import registry
from pyinit_ctl.registry import Target

RECORD_LIMIT = 1 << 20
_KILLED = 137  # 128 + SIGKILL: nothing else ends an init before it writes its exit.json


class State:
    """state.json. `pid` is the init's on the host; `start_time` in clock ticks since boot."""

    __slots__ = ("fields",)

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    @property
    def pid(self) -> int | None:
        return _whole(self.fields.get("pid"))

    @property
    def start_time(self) -> int | None:
        return _whole(self.fields.get("start_time"))

    @property
    def created(self) -> float | None:
        """Seconds since 1970."""
        value = self.fields.get("created")
        return float(value) if isinstance(value, int | float) else None

    @property
    def command(self) -> list[str]:
        value = self.fields.get("command")
        return [str(word) for word in value] if isinstance(value, list) else []

    def text(self, name: str) -> str:
        """The member `name` as text, empty if there is none."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""


class Exit:
    """How a container ended. `code` is the exit status as a shell would see it (0 - 255)."""

    __slots__ = ("code", "ended", "reason", "signal")

    def __init__(
        self, code: int, signal: int | None = None, reason: str = "", ended: float | None = None
    ) -> None:
        self.code = code
        self.signal = signal
        self.reason = reason
        self.ended = ended

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("code", "signal", "reason", "ended")}


def read_state(target: Target) -> State:
    """The container's state.json, empty where it can't be read. Raises NotFound for a path."""
    return State(_read(_folder(target), "state.json"))


def read_exit(target: Target) -> Exit | None:
    """How the container ended; None while its init lives, or before it was started.

    An init that is gone without having written exit.json was killed: 137.
    """
    state = read_state(target)
    if state.pid is None:
        return _recorded(target)
    if is_alive(state):
        return None
    return _recorded(target) or Exit(_KILLED, 9, "init was killed")


def exit_code_in(record: bytes) -> int:
    """The exit status that the content of an exit.json tells; an empty one tells of a kill."""
    if not record:
        return _KILLED
    try:
        fields = loads(record)
    except ProtocolError:
        return _KILLED
    code = _whole(fields.get("exit_code")) if isinstance(fields, dict) else None
    return _KILLED if code is None else code & 0xFF


def _recorded(target: Target) -> Exit | None:
    fields = _read(_folder(target), "exit.json")
    if not fields:
        return None
    code = _whole(fields.get("exit_code"))
    return Exit(
        _KILLED if code is None else code & 0xFF,
        _whole(fields.get("signal")),
        fields["reason"] if isinstance(fields.get("reason"), str) else "",
        float(fields["ended"]) if isinstance(fields.get("ended"), int | float) else None,
    )


def is_alive(state: State) -> bool:
    """Whether the init of state.json runs: the same process, not a later one of its number."""
    return state.pid is not None and start_time(state.pid) == state.start_time is not None


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None for no process or a zombie.

    Fields 3 and 22 of /proc/PID/stat (proc(5)), counted from behind the command's name.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def open_process(state: State) -> int | None:
    """A pidfd of the container's init, or None if it is gone. The caller closes it.

    The start time is compared after the pidfd is open: from then on the number can't pass to
    another process unnoticed.
    """
    if state.pid is None or not is_alive(state):
        return None
    try:
        pidfd = os.pidfd_open(state.pid)
    except ProcessLookupError:
        return None
    except OSError as error:
        raise SystemFault(f"open process {state.pid} of the container", error) from None
    if is_alive(state):
        return pidfd
    os.close(pidfd)
    return None


def describe_end(target: Target) -> str:
    """One line for somebody who wanted to reach a container that has ended."""
    name = str(target)
    end = read_exit(target)
    if end is None:
        return f"container {name!r} does not answer, though its init runs; is it still starting?"
    how = f"signal {end.signal}" if end.signal is not None else f"exit status {end.code}"
    return (
        f"container {name!r} has ended with {how}; start it again with `pyinit-ctl run`, "
        f"or forget it with `pyinit-ctl rm {name}`"
    )


def _folder(target: Target) -> str:
    if target.folder is None:
        raise NotFound(
            f"{target.path} is a socket's path: only containers named in "
            f"{registry.run_folder()} keep records"
        )
    return target.folder


def _read(folder: str, name: str) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none, or none that can be read."""
    try:
        with open(os.path.join(folder, name), "rb") as file:
            value = loads(file.read(RECORD_LIMIT))
    except (OSError, ProtocolError):
        return {}
    return value if isinstance(value, dict) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
