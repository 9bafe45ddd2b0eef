"""What the supervisor needs of the rest of init: something that starts processes.

The supervisor knows no descriptors of stdio, no users and no cgroups; whoever implements
`Processes` does. The tests implement it without any process.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from pyinit.spec.service import ServiceSpec

Role = Literal["main", "stop-command", "check"]


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """A command of a service, ready to be started but for what its user decides.

    User, group, folder, privileges, limits, kill-mode and log are those of `spec`. What is
    no main command is a tree of its own: to end it leaves the service alone.
    `environment` goes over what a login gives the user. `descriptors` maps the numbers that
    the command shall have to descriptors of this process, which stay open here. With
    `listen_pid` the child finds its own pid in LISTEN_PID (sd_listen_fds(3)).
    """

    service: str
    role: Role
    argv: tuple[str, ...]
    environment: dict[str, str]
    spec: ServiceSpec
    descriptors: dict[int, int] = {}
    listen_pid: bool = False


class Status(Protocol):
    """How a process ended: by itself with `code`, or by `signal`; the other is None."""

    @property
    def code(self) -> int | None: ...

    @property
    def signal(self) -> int | None: ...


class Process(Protocol):
    """A command that was started, and all that it started in turn.

    What belongs to it is what the kill-mode reaches: its cgroup, where cgroups are not to
    be had its session; with "process" the main process alone.
    """

    @property
    def pid(self) -> int:
        """The main process."""

    async def wait(self) -> Status:
        """The main process's status, once it has ended."""

    async def gone(self) -> None:
        """Return when the main process has ended and nothing that belongs to it is left."""

    def signal(self, number: int) -> None:
        """Signal the main process. Nothing happens when it has ended."""

    def signal_tree(self, number: int) -> None:
        """Signal all that belongs to it. Nothing happens when nothing is left."""

    def kill_all(self) -> None:
        """KILL all that belongs to it, again and again while it forks."""

    def owns(self, pid: int) -> bool:
        """Whether `pid` belongs to it."""

    def follow(self, pid: int) -> Process:
        """The same with `pid`, which belongs to it, as the main process."""


class Processes(Protocol):
    """Starts commands."""

    async def spawn(self, launch: Launch) -> Process:
        """Start it. Raises PyinitError, whose `status` (126, 127) tells why, or OSError."""
