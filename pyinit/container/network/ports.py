"""Published ports: one nftables table for each container that has some.

The host's own processes are served by the output hook, 127.0.0.1 by route_localnet on the
bridge. ::1 stays out, since the kernel routes no answer back to it; who asks for `localhost`
gets refused there at once and goes on to 127.0.0.1.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

from pyinit.container.network import flows, nft, sysctl
from pyinit.container.network.leases import Lease
from pyinit.container.network.netlink import fault
from pyinit.errors import InUse, UsageError
from pyinit.spec.network import Publish, parse_address

_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_EVERY_ADDRESS = {4: str(IPv4Address(0)), 6: str(IPv6Address(0))}


def table_name(owner: str) -> str:
    """The table of a container's, or of one of its interfaces', ports."""
    return f"pyinit-ports-{owner}"


def put(owner: str, bridge: str, lease: Lease) -> None:
    """Let the host answer the lease's ports with the container's. Nothing when it has none."""
    if not lease.publish:
        return
    nft.put(_table(owner, lease))
    if lease.ipv4 is not None:
        sysctl.allow_loopback_through(bridge)
    flows.forget(lease.publish)


def remove(owner: str, lease: Lease) -> None:
    """Close them; nothing happens when there are none."""
    if lease.publish:
        nft.remove(table_name(owner))
        flows.forget(lease.publish)


def check_reachable(publish: Iterable[Publish], ipv4: str | None, ipv6: str | None) -> None:
    """Raise UsageError for a port on an address of a family that the bridge does not have."""
    has = {4: ipv4, 6: ipv6}
    for one in publish:
        if not any(has[version] for version in one.families):
            raise UsageError(f"-p {one}: the bridge has no IPv{one.families[0]} network")


def check_unused(publish: Iterable[Publish]) -> None:
    """Raise InUse when a process of the host listens there: it would be cut off unseen."""
    for one in publish:
        for version, address in _host_addresses(one):
            for port in range(one.host_port, one.host_port + one.count):
                _try_to_bind(one, version, address, port)


def _table(owner: str, lease: Lease) -> nft.Table:
    table = nft.Table(table_name(owner))
    for one in lease.publish:
        for version in one.families:
            inside = lease.ipv4 if version == 4 else lease.ipv6
            if inside is not None:
                _open(table, one, version, inside)
    return table


def _open(table: nft.Table, publish: Publish, version: int, inside: str) -> None:
    where = _where(publish, version)
    for first, count, to_port in _runs(publish):
        ports = [*nft.transport(publish.protocol), *nft.port(first, count)]
        to = nft.translate_to(inside, to_port)
        for hook in ("prerouting", "output"):
            table.rule("nat", hook, "dstnat", where, ports, to)


def _where(publish: Publish, version: int) -> list[nft.Expression]:
    host_ip = publish.host_ip
    if host_ip is not None and not parse_address(host_ip).is_unspecified:
        return nft.destination(host_ip)
    every = [*nft.family(version), *nft.to_this_host()]
    return every if version == 4 else [*every, *nft.destination("::1", "!=")]


def _runs(publish: Publish) -> Iterator[tuple[int, int, int | None]]:
    """(first port, how many, port inside or None for the same): one rule's worth each.

    The kernel shifts a whole range only when told how far by an attribute that 4.19 and
    pyroute2 lack; port by port works everywhere.
    """
    if publish.host_port == publish.container_port:
        yield publish.host_port, publish.count, None
        return
    for step in range(publish.count):
        yield publish.host_port + step, 1, publish.container_port + step


def _host_addresses(publish: Publish) -> Iterator[tuple[int, str]]:
    for version in publish.families:
        if version == 4 or sysctl.has_ipv6():
            yield version, publish.host_ip or _EVERY_ADDRESS[version]


def _try_to_bind(publish: Publish, version: int, address: str, port: int) -> None:
    with socket.socket(_FAMILIES[version], _TYPES[publish.protocol]) as probe:
        if version == 6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if publish.protocol == "tcp":
            # Connections that are closing don't count, only who listens.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise _no_port(publish, address, port, error) from None


def _no_port(publish: Publish, address: str, port: int, error: OSError) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return InUse(f"-p {publish}: a process of this host has port {port} already")
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"-p {publish}: this host has no address {address}")
    return fault(f"-p {publish}", error)
