"""The pair of interfaces between a container and the host's bridge."""

from __future__ import annotations

import hashlib
import os
import socket
from typing import Any, NamedTuple

from pyinit.container.network import netlink, sysctl
from pyinit.errors import InUse, NotFound
from pyinit.linux.netns import call_in_netns

LONGEST_NAME = 15  # IFNAMSIZ is 16 with the NUL


class Inside(NamedTuple):
    """The container's end: in which namespace (a descriptor), its name and MAC address."""

    netns: int
    name: str
    mac: str


def host_name(owner: str) -> str:
    """The host's end of `owner`'s veth: says whose it is, whole where it fits.

    A longer or an odder one ends in a hash; the whole is in the interface's alias.
    """
    whole = f"v-{owner}"
    if len(whole) <= LONGEST_NAME and "/" not in owner:
        return whole
    digest = hashlib.sha256(owner.encode()).hexdigest()[:6]
    return f"v-{owner.replace('/', '-')[:6]}-{digest}"


def alias(owner: str) -> str:
    """What IFLA_IFALIAS of the host's end says."""
    return f"pyinit:{owner}"


def mac_for(ipv4: str | None) -> str:
    """A container's MAC address: the same for the same address, so that no neighbour's table lies.

    Of local administration, and random where there is no IPv4 address.
    """
    last = os.urandom(4) if ipv4 is None else socket.inet_aton(ipv4)
    return (b"\x02\x70" + last).hex(":")


def make(ip: Any, owner: str, bridge: str, inside: Inside, *, hairpin: bool = False) -> None:
    """Make the pair: the host's end up on `bridge`, the other as `inside` says, down.

    `hairpin` lets the bridge give a frame back where it came from, for a container that asks
    for its own published port on a host where bridged packets pass the firewall (br_netfilter).
    Raises InUse when somebody else has the name, NotFound when the bridge is gone.
    """
    name = host_name(owner)
    with netlink.asking(f"make the veth {name}"):
        _clear_stale(ip, name, owner)
        master = netlink.find_link(ip, bridge)
        if master is None:
            raise NotFound(f"the bridge {bridge} is gone; run the container again")
        peer = {"ifname": inside.name, "net_ns_fd": inside.netns, "address": inside.mac}
        ip.link("add", ifname=name, kind="veth", peer=peer)
        link = ip.link("get", ifname=name)[0]
        try:
            # The kernel takes no alias with the request that makes a link.
            ip.link("set", index=link["index"], ifalias=alias(owner))
            ip.link("set", index=link["index"], master=master["index"], state="up")
            if hairpin:
                ip.brport("set", index=link["index"], mode=1)
        except BaseException:
            netlink.delete_link(ip, link)
            raise


def remove(ip: Any, owner: str) -> None:
    """Delete the pair if it is there still, and ours by its alias."""
    name = host_name(owner)
    with netlink.asking(f"remove the veth {name}"):
        link = netlink.find_link(ip, name)
        if link is not None and netlink.alias_of(link) == alias(owner):
            netlink.delete_link(ip, link)


def set_up(netns: int, interface: str, addresses: list[str], gateways: list[str]) -> None:
    """Inside `netns`: addresses such as 10.0.0.2/24, up, and default routes by the gateways."""
    call_in_netns(netns, lambda: _set_up(interface, addresses, gateways))


def _set_up(interface: str, addresses: list[str], gateways: list[str]) -> None:
    sysctl.settle_container(interface)
    with netlink.routes() as ip, netlink.asking(f"set up {interface} in the container"):
        index = ip.link("get", ifname=interface)[0]["index"]
        for address in addresses:
            netlink.add_address(ip, index, address)
        ip.link("set", index=index, state="up")
        for gateway in gateways:
            family = {"family": netlink.AF_INET6} if ":" in gateway else {}
            ip.route("add", gateway=gateway, oif=index, **family)


def _clear_stale(ip: Any, name: str, owner: str) -> None:
    """A pair that a killed run left behind is ours to replace; the lease says we are alone."""
    link = netlink.find_link(ip, name)
    if link is None:
        return
    if netlink.alias_of(link) != alias(owner):
        raise InUse(f"the host has an interface {name} already, which is not {owner}'s")
    netlink.delete_link(ip, link)
