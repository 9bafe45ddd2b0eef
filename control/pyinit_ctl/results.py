"""What the clients return: the types of io.pyinit.Control, checked as they come in.

Members that a newer init adds are left out; one of a wrong type is a ProtocolError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from pyinit.errors import ProtocolError, PyinitError
from pyinit_ctl.printable import printable

T = TypeVar("T")


class ExitStatus(Struct, frozen=True):
    """How something ended: a code, or a signal's number."""

    code: int | None = None
    signal: int | None = None


class Container(Struct, frozen=True):
    """A container as its init knows it. `started` in seconds since 1970, `uptime` in seconds."""

    name: str
    hostname: str
    state: str
    version: str
    command: list[str]
    started: float
    uptime: float
    execs: int
    services: int
    cgroup: str
    pid: int
    main_pid: int | None = None


class Process(Struct, frozen=True):
    """A process inside. `cpu` in seconds, `memory` resident in bytes."""

    pid: int
    ppid: int
    uid: int
    user: str
    state: str
    threads: int
    cpu: float
    memory: int
    started: float
    command: list[str]
    name: str


class Interface(Struct, frozen=True):
    """Counters of a network interface since it was made."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


class Usage(Struct, frozen=True):
    """What the container uses. CPU times in seconds, memory and I/O in bytes."""

    time: float
    uptime: float
    source: str
    cpu: float
    cpu_user: float
    cpu_system: float
    memory: int
    processes: int
    interfaces: list[Interface]
    cpu_throttled: float | None = None
    memory_peak: int | None = None
    memory_limit: int | None = None
    oom_kills: int | None = None
    processes_limit: int | None = None
    io_read: int | None = None
    io_write: int | None = None


class ExecInfo(Struct, frozen=True):
    """A running or lately ended exec. Times in seconds since 1970."""

    id: str
    argv: list[str]
    user: str
    pid: int
    terminal: bool
    detached: bool
    state: str
    started: float
    timed_out: bool
    peer_uid: int | None = None
    ended: float | None = None
    status: ExitStatus | None = None


class CompletedExec(Struct, frozen=True):
    """A command that ended, in the manner of `subprocess.CompletedProcess`.

    `returncode` is negative for a signal. `stdout` and `stderr` are None where they were not
    captured; `complete` is False if a process that the command left behind held one of them
    open, and it was not waited for.
    """

    args: list[str]
    returncode: int
    stdout: bytes | None = None
    stderr: bytes | None = None
    complete: bool = True

    def check(self) -> CompletedExec:
        """Itself, if the command ended with 0. Raises ExecFailed."""
        if self.returncode:
            raise ExecFailed(self)
        return self


class ExecFailed(PyinitError):
    """The command ran and did not end with 0; `completed` is what it left."""

    def __init__(self, completed: CompletedExec) -> None:
        code = completed.returncode
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        super().__init__(f"{printable(completed.args[0])} ended with {how}")
        self.completed = completed


class ExecTimedOut(PyinitError):
    """The command was ended because its time was over; `completed` is what it left."""

    status = 124

    def __init__(self, completed: CompletedExec) -> None:
        super().__init__(f"{printable(completed.args[0])} was ended: its time was over")
        self.completed = completed


def convert(parameters: Mapping[str, Any], member: str, kind: type[T]) -> T:
    """A member of a reply as `kind`. Raises ProtocolError."""
    if member not in parameters:
        raise ProtocolError(f"the container's answer has no {member!r}")
    try:
        return msgspec.convert(parameters[member], kind)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"the container's answer is not right: {printable(error)}") from None
