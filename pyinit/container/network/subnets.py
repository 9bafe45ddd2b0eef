"""Which network a new bridge gets, and which address of it a container. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from pyinit.errors import InUse, UsageError

# A bridge has at most 1024 ports (BR_MAX_PORTS), which a /22 just fills. The pools are private
# (RFC 1918) and none of them is podman's, Docker's or a home router's first choice.
POOLS = ("10.209.0.0/16", "172.27.0.0/16", "192.168.208.0/20")
PREFIX = 22

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def choose_ipv4(taken: Collection[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """The first network of the pools that overlaps none of `taken`. Raises UsageError."""
    for pool in POOLS:
        for candidate in ipaddress.ip_network(pool).subnets(new_prefix=PREFIX):
            if not any(candidate.overlaps(other) for other in taken):
                return candidate  # type: ignore[return-value]
    raise UsageError(
        "every network that a bridge would get overlaps a route of this host;"
        " choose one with --net bridge,subnet=…"
    )


def choose_ipv6(random: bytes) -> ipaddress.IPv6Network:
    """A unique local network (RFC 4193) from five random octets."""
    prefix = b"\xfd" + random[:5] + bytes(10)
    return ipaddress.IPv6Network((prefix, 64))


def check_free(wanted: Subnet, taken: Iterable[Subnet]) -> None:
    """Raise UsageError when a route as narrow as `wanted`, or narrower, lies in it.

    A wider one is left alone: a part of 10.0.0.0/8 may well be given to a bridge.
    """
    for other in taken:
        if other.version == wanted.version and other.subnet_of(wanted):  # type: ignore[arg-type]
            raise UsageError(
                f"the network {wanted} overlaps {other}, to which this host has a route"
            )


def gateway(subnet: Subnet) -> Address:
    """The bridge's own address: the first one that a host can have."""
    return subnet.network_address + 1


def last_host(subnet: Subnet) -> int:
    """The offset of the last address a host can have; IPv4 keeps the very last for broadcast."""
    return subnet.num_addresses - (2 if subnet.version == 4 else 1)


def free_address(subnet: Subnet, taken: Collection[str], after: int) -> Address:
    """The next address past the offset `after` that is neither taken nor the bridge's.

    Going round gives an address back late, when nobody's neighbour table has it any more.
    Raises InUse when there is none.
    """
    last = last_host(subnet)
    for step in range(min(last - 1, len(taken) + 1)):
        address = subnet.network_address + (2 + (after - 1 + step) % (last - 1))
        if str(address) not in taken:
            return address
    raise InUse(
        f"every address of {subnet} is leased; choose a larger network, or remove a container"
    )


def check_asked(text: str, subnet: Subnet) -> None:
    """Raise UsageError unless a container can have the address `text` on this network."""
    if ipaddress.ip_address(text) not in subnet:
        raise UsageError(f"{text} is not in {subnet}, the bridge's network")
    if not 1 <= offset(text, subnet) <= last_host(subnet):
        raise UsageError(f"{text} is the address of {subnet} itself, or its broadcast")


def interface(text: str) -> Interface:
    """An address with its prefix length."""
    return ipaddress.ip_interface(text)


def canonical(text: str) -> str:
    """An address as this project writes it down and compares it."""
    return str(ipaddress.ip_address(text))


def offset(text: str, subnet: Subnet) -> int:
    """How far into its network an address lies."""
    return int(ipaddress.ip_address(text)) - int(subnet.network_address)
