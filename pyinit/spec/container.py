"""What a container is to be: frozen and checked, made by the command line or a program."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pyinit.errors import UsageError
from pyinit.spec.idmap import parse_map
from pyinit.spec.limits import Limits
from pyinit.spec.logs import LogSpec
from pyinit.spec.network import BridgeNetwork, HostEntry, Network, NoNetwork, Publish
from pyinit.spec.privileges import Privileges
from pyinit.spec.service import Services

# A name becomes a folder, a cgroup and a host name: what all three allow.
_LONGEST_NAME = 63
_HOSTNAME = r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?"
# Of those that a container can share; mnt is always its own, and net has options of its own.
NAMESPACES = ("pid", "ipc", "uts", "cgroup", "user", "time")
# A pid namespace ends with its PID 1, and a mount namespace can't be bound below itself.
PINNABLE = ("net", "ipc", "uts", "cgroup", "user", "time")
CLOCKS = ("monotonic", "boottime")
RESERVED_NAMES = frozenset({"networks", "locks", "seccomp", "ids"})

# 146 years: the kernel's own bound (KTIME_SEC_MAX / 2, time_namespaces(7)).
_MOST_OFFSET = 4611686018
Seconds = Annotated[float, Meta(ge=0)]


class TerminalSize(Struct, frozen=True, forbid_unknown_fields=True):
    """A terminal's size in characters, and the value of TERM for what runs in it."""

    rows: int = 24
    columns: int = 80
    term: str = "xterm"


class Root(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the container's root file system comes from.

    `directory` is used as it is. Otherwise `layers`, uppermost first, are put together by
    overlayfs; with neither, the host's own root is the only layer. `upper` keeps what is
    written; without it that goes to a tmpfs and is gone with the container.
    """

    directory: str | None = None
    layers: tuple[str, ...] = ()
    upper: str | None = None
    read_only: bool = False


class Volume(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file or folder of the host seen in the container: `-v SRC:DST[:ro]`."""

    source: str
    target: str
    read_only: bool = False

    def __post_init__(self) -> None:
        for path in (self.source, self.target):
            if not path.startswith("/") or "\0" in path:
                raise UsageError(f"bad volume path {path!r}: it must start with '/'")
        check_target(self.target)


class Tmpfs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file system in memory: `--tmpfs DST[:size=…,mode=…]`. `size` in bytes, 0 for no limit."""

    target: str
    size: int = 0
    mode: int = 0o1777
    read_only: bool = False
    executable: bool = True

    def __post_init__(self) -> None:
        check_target(self.target)


class HostDevice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device node of the host that the container may use: `--device SRC[:DST]`."""

    source: str
    target: str

    def __post_init__(self) -> None:
        if not self.source.startswith("/") or "\0" in self.source:
            raise UsageError(f"bad device {self.source!r}: it must start with '/'")
        check_target(self.target)


class ContainerSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A container: its root, its command, and what the two may use.

    `services` are supervised, and the command starts once they are up. With neither, the
    container is idle and lives until it is stopped; with services alone until they have ended.
    `grace` is the time in seconds that processes have between TERM and KILL when the
    container ends; a ceiling. `control` is the path of the control socket; by default it
    lies in the container's folder. `privileged` leaves the kernel's files of the whole
    machine visible and writable. `namespaces` says of a kind (net has its own field) whether
    it is "private", "host", "container:NAME" or the path of a namespace; left out, user and
    time are the host's, and all others private. A user namespace is "auto", "keep-id" or a
    map (`pyinit.spec.idmap`) in place of "private"; an ordinary user's is "auto" by itself.
    `pins` are kinds of namespaces kept after the container's end; `time_offsets` are seconds
    by CLOCKS that a time namespace of its own is ahead.
    """

    name: str
    command: tuple[str, ...] = ()
    services: Services = {}
    hostname: str | None = None
    environment: dict[str, str] = {}
    workdir: str | None = None
    user: str | None = None
    domainname: str | None = None
    root: Root = Root()
    volumes: tuple[Volume, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    devices: tuple[HostDevice, ...] = ()
    namespaces: dict[str, str] = {}
    pins: tuple[str, ...] = ()
    time_offsets: dict[str, int] = {}
    network: Network = NoNetwork()
    publish: tuple[Publish, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    add_host: tuple[HostEntry, ...] = ()
    privileges: Privileges = Privileges()
    privileged: bool = False
    limits: Limits = Limits()
    cgroup_parent: str | None = None
    cgroups: bool = True
    sysctls: dict[str, str] = {}
    control: str | None = None
    log: LogSpec = LogSpec()
    grace: Seconds = 10.0
    remove: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.services:
            # Most containers have none, and their rules take longer to load than all else here.
            from pyinit.spec.rules import require_valid

            require_valid(self.services)
        if self.hostname is not None and not re.fullmatch(_HOSTNAME, self.hostname):
            raise UsageError(
                f"bad host name {self.hostname!r}: letters, digits, '-' and '.', 64 at the most"
            )
        if self.workdir is not None and not self.workdir.startswith("/"):
            raise UsageError(f"bad workdir {self.workdir!r}: it must start with '/'")
        for key, value in self.environment.items():
            check_environment(key, value)
        for kind, source in self.namespaces.items():
            check_namespace(kind, source)
        for kind in self.pins:
            check_pin(kind)
        if self.pins and self.remove:
            raise UsageError("--pin and --rm exclude each other: leave one of them out")
        check_time_offsets(self.time_offsets, self.namespaces.get("time", "private"))
        if self.publish and not isinstance(self.network, BridgeNetwork):
            raise UsageError("ports are published from a bridge: add --net bridge")


def check_target(path: str) -> None:
    """Raise UsageError unless `path` can be mounted on in a container."""
    if not path.startswith("/") or "\0" in path:
        raise UsageError(f"bad mount target {path!r}: it must start with '/'")
    if path.rstrip("/") in ("", "/proc", "/sys", "/dev"):
        raise UsageError(f"bad mount target {path!r}: it is made by pyinit itself")


def check_namespace(kind: str, source: str) -> None:
    """Raise UsageError unless `source` says where a namespace of this kind comes from."""
    if kind not in NAMESPACES:
        raise UsageError(f"bad namespace {kind!r}: one of {', '.join(NAMESPACES)}")
    if source == "host" or source.startswith(("container:", "/")):
        return
    if kind == "user":
        if source not in ("auto", "keep-id", "private"):
            parse_map(source)
        return
    if source == "private":
        return
    raise UsageError(
        f"bad {kind} namespace {source!r}: private, host, container:NAME or the path of one"
    )


def check_pin(kind: str) -> None:
    """Raise UsageError unless a namespace of this kind can outlive its container."""
    if kind not in PINNABLE:
        raise UsageError(f"bad --pin {kind!r}: one of {', '.join(PINNABLE)}")


def check_time_offsets(offsets: dict[str, int], source: str) -> None:
    """Raise UsageError unless a container with that time namespace can have the offsets."""
    for clock, seconds in offsets.items():
        if clock not in CLOCKS:
            raise UsageError(f"bad time offset {clock!r}: one of {', '.join(CLOCKS)}")
        if abs(seconds) > _MOST_OFFSET:
            raise UsageError(f"bad time offset {clock}={seconds}: {_MOST_OFFSET} s at the most")
    if offsets and source != "private":
        raise UsageError(f"a time offset needs a time namespace of its own, not {source!r}")


def check_name(name: str) -> None:
    """Raise UsageError unless `name` can name a container."""
    plain = name.isascii() and all(one.isalnum() or one in "_.-" for one in name)
    fits = plain and name[:1].isalnum() and len(name) <= _LONGEST_NAME
    if not fits or name in RESERVED_NAMES:
        raise UsageError(
            f"bad container name {name!r}: 1 to 63 letters, digits, '_', '-' and '.', "
            "the first a letter or digit"
        )


def check_environment(key: str, value: str) -> None:
    """Raise UsageError unless both can go into an environment."""
    if not key or "=" in key or "\0" in key:
        raise UsageError(f"bad environment name {key!r}: no '=', no NUL, and not empty")
    if "\0" in value:
        raise UsageError(f"bad environment value of {key!r}: it holds a NUL byte")


def from_json(data: bytes) -> ContainerSpec:
    """A spec read from JSON. Raises UsageError that names the field which is wrong."""
    try:
        return msgspec.json.decode(data, type=ContainerSpec)
    except msgspec.DecodeError as error:
        raise UsageError(f"bad container spec: {error}") from None
