"""What network a container gets, and which of its ports the host answers: pure values.

Each value checks itself, so that a spec file and the command line (network_options) are held
to the same; what is wrong is a ValueError, which msgspec turns into its own with the path.
Addresses are looked at by functions that import ipaddress themselves: most containers have none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    import ipaddress

DEFAULT_BRIDGE = "pyinit0"
HOST_GATEWAY = "host-gateway"
MOST_SHIFTED_PORTS = 256

_INTERFACE = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}"  # IFNAMSIZ is 16 with the NUL
_MAC = r"[0-9a-f]{2}(:[0-9a-f]{2}){5}"
_HOST_NAME = r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})"


class NoNetwork(msgspec.Struct, frozen=True, tag_field="mode", tag="none"):
    """A network namespace with nothing but `lo`."""


class HostNetwork(msgspec.Struct, frozen=True, tag_field="mode", tag="host"):
    """The network namespace of whoever makes the container."""


class ContainerNetwork(msgspec.Struct, frozen=True, tag_field="mode", tag="container"):
    """The network namespace of the container `name`."""

    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("the container's name is empty")


class PathNetwork(msgspec.Struct, frozen=True, tag_field="mode", tag="path"):
    """A network namespace that is bound at `path`, an absolute path on the host."""

    path: str

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError(f"the path of a namespace begins with /, not {self.path!r}")


class BridgeNetwork(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="mode", tag="bridge"
):
    """A network namespace with a veth to the host's bridge `name`, made on first use.

    `subnet` and `subnet6` are networks such as 10.9.0.0/24 and fd00:9::/64; None lets pyinit
    choose, and `subnet6 = "none"` leaves IPv6 out. `ip`, `ip6` and `mac` ask for one address.
    Without `nat` the host only routes: nothing is masqueraded, published or filtered.
    """

    name: str = DEFAULT_BRIDGE
    subnet: str | None = None
    subnet6: str | None = None
    ip: str | None = None
    ip6: str | None = None
    mac: str | None = None
    nat: bool = True

    def __post_init__(self) -> None:
        check_interface(self.name)
        _check_subnet(self.subnet, 4)
        _check_subnet(self.subnet6 if self.subnet6 != "none" else None, 6)
        _check_address(self.ip, 4)
        _check_address(self.ip6, 6)
        if self.ip6 is not None and self.subnet6 == "none":
            raise ValueError("ip6 asks for an IPv6 address and subnet6=none for none")
        if self.mac is not None:
            _check_mac(self.mac)


Network = NoNetwork | HostNetwork | BridgeNetwork | ContainerNetwork | PathNetwork


class Macvlan(msgspec.Struct, frozen=True, tag_field="kind", tag="macvlan"):
    """An interface of its own MAC address on the host's interface `parent`.

    `ip` and `ip6` are addresses with their prefix length, such as 192.0.2.7/24.
    """

    parent: str
    ip: str | None = None
    ip6: str | None = None

    def __post_init__(self) -> None:
        check_interface(self.parent)
        _check_with_prefix(self.ip, 4)
        _check_with_prefix(self.ip6, 6)


class Ipvlan(Macvlan, frozen=True, tag_field="kind", tag="ipvlan"):
    """As Macvlan, sharing the parent's MAC address."""


class Dummy(msgspec.Struct, frozen=True, tag_field="kind", tag="dummy"):
    """An interface that leads nowhere, to carry addresses."""

    ip: str | None = None
    ip6: str | None = None

    def __post_init__(self) -> None:
        _check_with_prefix(self.ip, 4)
        _check_with_prefix(self.ip6, 6)


class Moved(msgspec.Struct, frozen=True, tag_field="kind", tag="move"):
    """The host's own interface `name`, taken from the host until it is given back."""

    name: str
    ip: str | None = None
    ip6: str | None = None

    def __post_init__(self) -> None:
        check_interface(self.name)
        _check_with_prefix(self.ip, 4)
        _check_with_prefix(self.ip6, 6)


Device = Macvlan | Ipvlan | Dummy | Moved


class Publish(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`count` ports of the host from `host_port` on, answered by the container's.

    `host_ip` None means every address of the host, both IPv4 and IPv6; 0.0.0.0 and :: mean
    every one of that family.
    """

    host_port: int
    container_port: int
    count: int = 1
    protocol: Literal["tcp", "udp"] = "tcp"
    host_ip: str | None = None

    def __post_init__(self) -> None:
        for first in (self.host_port, self.container_port):
            if not 1 <= first <= first + self.count - 1 <= 65535:
                raise ValueError(f"ports go from 1 to 65535, not {first}..{first + self.count - 1}")
        if self.host_port != self.container_port and self.count > MOST_SHIFTED_PORTS:
            raise ValueError(
                f"{self.count} ports with other numbers inside; at most {MOST_SHIFTED_PORTS},"
                " or the same numbers on both sides"
            )
        if self.host_ip is not None:
            _check_publish_address(self.host_ip)

    @property
    def families(self) -> tuple[int, ...]:
        """The IP versions it is for: (4,), (6,) or both."""
        if self.host_ip is None:
            return (4, 6)
        import ipaddress

        return (ipaddress.ip_address(self.host_ip).version,)

    def overlaps(self, other: Publish) -> bool:
        """Whether some packet would be meant for both."""
        return (
            self.protocol == other.protocol
            and self.host_port < other.host_port + other.count
            and other.host_port < self.host_port + self.count
            and _addresses_overlap(self.host_ip, other.host_ip)
        )

    def __str__(self) -> str:
        where = ""
        if self.host_ip is not None:
            where = f"[{self.host_ip}]:" if ":" in self.host_ip else f"{self.host_ip}:"
        outside, inside = (
            _range_text(p, self.count) for p in (self.host_port, self.container_port)
        )
        return f"{where}{outside}:{inside}/{self.protocol}"


class HostEntry(msgspec.Struct, frozen=True):
    """One more line of /etc/hosts; `address` may be "host-gateway", the bridge's address."""

    name: str
    address: str

    def __post_init__(self) -> None:
        if not is_host_name(self.name):
            raise ValueError(f"{self.name!r} is no host name")
        if self.address != HOST_GATEWAY:
            parse_address(self.address)


def is_host_name(text: str) -> bool:
    """Whether /etc/hosts and resolv.conf can hold it as one word."""
    return re.fullmatch(_HOST_NAME, text) is not None


def check_interface(name: str) -> None:
    """Raise ValueError unless `name` can be an interface's: at most 15 plain characters."""
    if not re.fullmatch(_INTERFACE, name):
        raise ValueError(
            f"{name!r} is no name for an interface (at most 15 letters, digits, '_', '.', '-')"
        )


def _check_subnet(text: str | None, version: int) -> None:
    if text is None:
        return
    import ipaddress

    network = ipaddress.ip_network(text)
    if network.version != version or "/" not in text:
        raise ValueError(f"{text} is no IPv{version} network with a prefix length")
    if network.num_addresses < 4:
        raise ValueError(f"{text} has no room for a bridge and a container")
    if network.is_loopback or network.is_link_local or network.is_multicast:
        raise ValueError(f"{text} is not for a bridge")


def _check_address(text: str | None, version: int) -> None:
    if text is not None and parse_address(text).version != version:
        raise ValueError(f"{text} is no IPv{version} address")


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IP address without a zone. Raises ValueError."""
    import ipaddress

    address = ipaddress.ip_address(text)
    if "%" in text:
        raise ValueError(f"{text} names an interface, and an address alone is needed")
    return address


def _check_with_prefix(text: str | None, version: int) -> None:
    if text is None:
        return
    if "/" not in text:
        raise ValueError(
            f"{text} needs a prefix length, such as {text}/{24 if version == 4 else 64}"
        )
    import ipaddress

    if ipaddress.ip_interface(text).version != version:
        raise ValueError(f"{text} is no IPv{version} address")


def _check_mac(text: str) -> None:
    if not re.fullmatch(_MAC, text):
        raise ValueError(f"{text!r} is no MAC address")
    if int(text[:2], 16) & 1:
        raise ValueError(f"{text} is a multicast MAC address")


def _check_publish_address(text: str) -> None:
    address = parse_address(text)
    if address.version == 6 and address.is_loopback:
        raise ValueError(
            "the kernel does not translate ::1; publish on 127.0.0.1, or leave the address out"
        )


def _addresses_overlap(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return True
    import ipaddress

    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    if first.version != second.version:
        return False
    return first == second or first.is_unspecified or second.is_unspecified


def _range_text(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"
