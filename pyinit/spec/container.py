"""What a container is to be: frozen and checked, made by the command line or a program."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pyinit.errors import UsageError

# A name becomes a folder, a cgroup and a host name: what all three allow.
NAME = re.compile(r"[a-z0-9A-Z][a-zA-Z0-9_.-]{0,62}\Z")
HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?\Z")
RESERVED_NAMES = frozenset({"networks", "locks"})

Seconds = Annotated[float, Meta(ge=0)]


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


class ContainerSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A container: its root, its command, and what the two may use.

    An empty `command` makes an idle container, which lives until it is stopped.
    `grace` is the time in seconds that processes have between TERM and KILL when the
    container ends; a ceiling. `control` is the path of the control socket; by default it
    lies in the container's folder.
    """

    name: str
    command: tuple[str, ...] = ()
    hostname: str | None = None
    environment: dict[str, str] = {}
    workdir: str | None = None
    user: str | None = None
    root: Root = Root()
    control: str | None = None
    grace: Seconds = 10.0
    remove: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.hostname is not None and not HOSTNAME.match(self.hostname):
            raise UsageError(
                f"bad host name {self.hostname!r}: letters, digits, '-' and '.', 64 at the most"
            )
        if self.workdir is not None and not self.workdir.startswith("/"):
            raise UsageError(f"bad workdir {self.workdir!r}: it must start with '/'")
        for key, value in self.environment.items():
            check_environment(key, value)


def check_name(name: str) -> None:
    """Raise UsageError unless `name` can name a container."""
    if not NAME.match(name) or name in RESERVED_NAMES:
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
