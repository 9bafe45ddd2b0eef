"""state.json: what the host has to know of a container to find it and to clear it away."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from pyinit.container.folder import write_state


class State(Struct, frozen=True, kw_only=True):
    """`pid` is PID 1 on the host; with `start_time` (ticks since boot) it names one process.

    `created` is in seconds since 1970; `control` the path of the socket.
    """

    name: str
    pid: int
    start_time: int
    created: float
    control: str
    hostname: str
    command: tuple[str, ...] = ()
    root: str = ""
    rootless: bool = False
    remove: bool = False


def save(folder: Path, state: State) -> None:
    """Put state.json into the container's folder, whole or not at all."""
    write_state(folder, msgspec.json.encode(state))
