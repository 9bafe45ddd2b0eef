"""The host's bridge: made on first use, removed with the last container on it."""

from __future__ import annotations

import ipaddress
import os
from typing import Any

from pyinit.container.network import netlink, subnets, sysctl
from pyinit.container.network.leases import Ledger, Record
from pyinit.errors import Unsupported, UsageError
from pyinit.spec.network import BridgeNetwork

ALIAS = "pyinit:bridge"
RT_TABLE_LOCAL = 255
AF_INET = 2


def find(ip: Any, ledger: Ledger, network: BridgeNetwork) -> Record:
    """The record of the bridge that `network` names, drawn up where there is none yet.

    A bridge that somebody else made is used as it is. Nothing is made or written. Raises
    UsageError when the bridge is there and is not as asked.
    """
    record = ledger.read(network.name)
    if record is None:
        with netlink.asking(f"look for the bridge {network.name}"):
            link = netlink.find_link(ip, network.name)
            record = _adopt(ip, link, network) if link is not None else _draw(ip, ledger, network)
    _check_as_asked(record, network)
    return record


def make(ip: Any, record: Record) -> None:
    """Make the bridge of a record, up and addressed, unless it is there.

    Raises Unsupported or SystemFault.
    """
    with netlink.asking(f"make the bridge {record.bridge}"):
        if netlink.find_link(ip, record.bridge) is not None:
            return
        # A bridge without an address of its own takes its ports' smallest one, and changes it
        # under the containers' feet as ports come and go.
        ip.link("add", ifname=record.bridge, kind="bridge", address=_random_mac())
        link = ip.link("get", ifname=record.bridge)[0]
        try:
            ip.link("set", index=link["index"], ifalias=ALIAS)
            _set_up(ip, link["index"], record)
        except BaseException:
            netlink.delete_link(ip, link)
            raise


def remove(ip: Any, record: Record) -> None:
    """Delete the bridge if pyinit made it and nobody else has put an interface on it."""
    with netlink.asking(f"remove the bridge {record.bridge}"):
        link = netlink.find_link(ip, record.bridge)
        if link is None or not record.made or netlink.alias_of(link) != ALIAS:
            return
        if not any(port.get_attr("IFLA_MASTER") == link["index"] for port in ip.get_links()):
            netlink.delete_link(ip, link)


def _set_up(ip: Any, index: int, record: Record) -> None:
    sysctl.settle_bridge(record.bridge)
    for address in (record.ipv4, record.ipv6):
        if address is not None:
            netlink.add_address(ip, index, address)
    ip.link("set", index=index, state="up")
    if record.ipv4 is not None:
        sysctl.forward_ipv4()
    if record.ipv6 is not None:
        sysctl.forward_ipv6()


def _draw(ip: Any, ledger: Ledger, network: BridgeNetwork) -> Record:
    taken = _networks_of_host(ip) + _networks_of_records(ledger)
    return Record(
        bridge=network.name,
        ipv4=_bridge_address(_ipv4_network(network, taken)),
        ipv6=_bridge_address(_ipv6_network(network, taken)),
        made=True,
        nat=network.nat,
    )


def _ipv4_network(network: BridgeNetwork, taken: list[subnets.Subnet]) -> subnets.Subnet:
    if network.subnet is None:
        return subnets.choose_ipv4([n for n in taken if isinstance(n, ipaddress.IPv4Network)])
    wanted = ipaddress.IPv4Network(network.subnet)
    subnets.check_free(wanted, taken)
    return wanted


def _ipv6_network(network: BridgeNetwork, taken: list[subnets.Subnet]) -> subnets.Subnet | None:
    if network.subnet6 == "none":
        return None
    if network.subnet6 is None:
        return subnets.choose_ipv6(os.urandom(5)) if sysctl.has_ipv6() else None
    if not sysctl.has_ipv6():
        raise Unsupported(f"the network {network.subnet6}: this host has no IPv6; use subnet6=none")
    wanted = ipaddress.IPv6Network(network.subnet6)
    subnets.check_free(wanted, taken)
    return wanted


def _adopt(ip: Any, link: Any, network: BridgeNetwork) -> Record:
    if _kind_of(link) != "bridge":
        raise UsageError(f"{network.name} is an interface of this host and no bridge")
    made = netlink.alias_of(link) == ALIAS
    ipv4, ipv6 = _addresses_of(ip, link["index"])
    if ipv4 is None and ipv6 is None:
        raise UsageError(
            f"the bridge {network.name} has no address to lead anywhere; give it one, or choose"
            " another name"
        )
    return Record(network.name, ipv4, ipv6, made=made, nat=made and network.nat)


def _check_as_asked(record: Record, network: BridgeNetwork) -> None:
    for asked, has in ((network.subnet, record.ipv4), (network.subnet6, record.ipv6)):
        got = "none" if has is None else str(subnets.interface(has).network)
        if asked is not None and _usual(asked) != got:
            raise UsageError(
                f"the bridge {record.bridge} is there with the network {got}, not {asked}"
            )
    if record.nat and not network.nat:
        raise UsageError(f"the bridge {record.bridge} is there with NAT; choose another name")


def _usual(network: str) -> str:
    return network if network == "none" else str(ipaddress.ip_network(network))


def _bridge_address(network: subnets.Subnet | None) -> str | None:
    if network is None:
        return None
    return f"{subnets.gateway(network)}/{network.prefixlen}"


def _networks_of_records(ledger: Ledger) -> list[subnets.Subnet]:
    return [
        subnets.interface(address).network
        for record in ledger.records()
        for address in (record.ipv4, record.ipv6)
        if address is not None
    ]


def _networks_of_host(ip: Any) -> list[subnets.Subnet]:
    """Where the host has a route to, default routes and its own addresses' routes apart."""
    found = []
    for route in ip.get_routes():
        target, length = route.get_attr("RTA_DST"), route["dst_len"]
        if target is not None and length and route.get_attr("RTA_TABLE") != RT_TABLE_LOCAL:
            found.append(ipaddress.ip_network(f"{target}/{length}", strict=False))
    return found


def _addresses_of(ip: Any, index: int) -> tuple[str | None, str | None]:
    ipv4 = ipv6 = None
    for address in ip.get_addr(index=index):
        text = f"{address.get_attr('IFA_ADDRESS')}/{address['prefixlen']}"
        if address["family"] == AF_INET:
            ipv4 = ipv4 or text
        elif not ipaddress.ip_interface(text).is_link_local:
            ipv6 = ipv6 or text
    return ipv4, ipv6


def _kind_of(link: Any) -> str | None:
    information = link.get_attr("IFLA_LINKINFO")
    return information.get_attr("IFLA_INFO_KIND") if information is not None else None


def _random_mac() -> str:
    """A unicast address of local administration."""
    octets = bytearray(os.urandom(6))
    octets[0] = octets[0] & 0xFC | 0x02
    return octets.hex(":")
