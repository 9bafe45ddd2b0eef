"""state.json: what the host has to know of a container to find it and to clear it away."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from pyinit.container.folder import STATE_NAME, write_state
from pyinit.container.network.attachment import Added, Attachment
from pyinit.linux.process import is_alive


class State(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`pid` is PID 1 on the host; with `start_time` (ticks since boot) it names one process.
    It is 0 while the container is being made. `keeper` is a process that stays with the
    container and removes it at its end.

    `created` is in seconds since 1970; `control` the path of the socket; `cgroups` and
    `network` what has to be taken back, which `cleared` says was done. `attached` and
    `devices` are interfaces that were added later.
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
    cgroups: tuple[str, ...] = ()
    network: Attachment | None = None
    attached: tuple[Attachment, ...] = ()
    devices: tuple[Added, ...] = ()
    cleared: bool = False
    keeper: int = 0
    keeper_start: int = 0
    upper: str | None = None

    def is_alive(self) -> bool:
        """Whether PID 1 still runs."""
        return is_alive(self.pid, self.start_time)

    def is_kept(self) -> bool:
        """Whether somebody stays with it, who still wants to read how it ended."""
        return self.keeper != 0 and is_alive(self.keeper, self.keeper_start)


def save(folder: Path, state: State) -> None:
    """Put state.json into the container's folder, whole or not at all."""
    write_state(folder, msgspec.json.encode(state))


def load(folder: Path) -> State | None:
    """What state.json says; None where there is none, or where it is none of ours."""
    try:
        return msgspec.json.decode((folder / STATE_NAME).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None
