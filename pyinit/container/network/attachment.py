"""What a container has of the network, as its state says it: enough to take it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pyinit.spec.network import Publish

if TYPE_CHECKING:
    from pyinit.container.network.leases import Lease

FOLDER = Path("/run/pyinit/networks")


class Attachment(Struct, frozen=True, kw_only=True):
    """What one interface of a container on a bridge consists of: enough to take it back.

    `owner` is the container's name, or NAME/INTERFACE for one that was added later. Addresses
    are without prefix length; `prefix4` and `prefix6` are the networks' lengths.
    """

    owner: str
    bridge: str
    host_interface: str
    interface: str
    mac: str
    ipv4: str | None = None
    prefix4: int = 0
    gateway4: str | None = None
    ipv6: str | None = None
    prefix6: int = 0
    gateway6: str | None = None
    publish: tuple[Publish, ...] = ()

    @property
    def lease(self) -> Lease:
        """What the bridge's file says of it."""
        from pyinit.container.network.leases import Lease

        return Lease(self.ipv4, self.ipv6, self.publish)

    @property
    def addresses(self) -> list[str]:
        """With prefix length, IPv4 first."""
        both = ((self.ipv4, self.prefix4), (self.ipv6, self.prefix6))
        return [f"{address}/{length}" for address, length in both if address is not None]

    @property
    def gateways(self) -> list[str]:
        """The bridge's addresses, IPv4 first."""
        return [gateway for gateway in (self.gateway4, self.gateway6) if gateway is not None]


class Added(Struct, frozen=True):
    """An interface as a container has it; `came_from` is the host's name of a moved one."""

    interface: str
    came_from: str | None = None
