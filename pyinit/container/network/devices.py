"""Interfaces added to a running container and taken from it: macvlan, ipvlan, dummy, moved ones.

A link made here belongs to the container's namespace and dies with it; a moved one that is the
machine's own goes back to the first namespace by itself (network_namespaces(7)).
"""

from __future__ import annotations

import errno
from typing import Any

from pyinit.container.network import netlink, sysctl
from pyinit.container.network.attachment import Added
from pyinit.errors import InUse, NotFound, Unsupported
from pyinit.linux.netns import call_in_netns, netns_of
from pyinit.spec.network import Device, Dummy, Ipvlan, Macvlan, Moved

_MACVLAN_BRIDGE = 4  # MACVLAN_MODE_BRIDGE: the parent's macvlans reach each other
_IPVLAN_L2 = 0


def add(netns: int, interface: str, device: Device) -> Added:
    """Put a device into the namespace `netns` (a descriptor) as `interface`, addressed and up.

    Raises InUse when the container has such an interface, NotFound for a parent that is not
    there, Unsupported, SystemFault. A failure leaves nothing behind.
    """
    check_unused(netns, interface)
    with netlink.routes() as ip, netlink.asking(f"add the interface {interface}"):
        if isinstance(device, Moved):
            _move(ip, _link(ip, device.name), netns, interface)
        else:
            _make(ip, device, netns, interface)
    added = Added(interface, device.name if isinstance(device, Moved) else None)
    try:
        call_in_netns(netns, lambda: _set_up(interface, device))
    except BaseException:
        remove(netns, added)
        raise
    return added


def remove(netns: int, added: Added) -> None:
    """Take an interface out again: a moved one back to the caller's namespace, down, as it was."""
    home = netns_of("thread-self")
    with open(home, "rb", closefd=True):
        call_in_netns(netns, lambda: _take_out(added, home))


def unused_name(netns: int) -> str:
    """The first of eth0, eth1, … that the namespace has no interface of."""
    return call_in_netns(netns, _unused_name)


def check_unused(netns: int, interface: str) -> None:
    """Raise InUse when the namespace has an interface of that name."""
    if call_in_netns(netns, lambda: _has(interface)):
        raise InUse(f"the container has an interface {interface} already")


def _make(ip: Any, device: Macvlan | Dummy, netns: int, interface: str) -> None:
    from pyroute2 import NetlinkError

    kind, how = _link_of(ip, device)
    try:
        ip.link("add", kind=kind, ifname=interface, net_ns_fd=netns, **how)
    except NetlinkError as error:
        if error.code != errno.EOPNOTSUPP:
            raise
        raise Unsupported(
            f"this kernel has no {kind} interfaces; add one of another kind"
        ) from None


def _link_of(ip: Any, device: Macvlan | Dummy) -> tuple[str, dict[str, int]]:
    if isinstance(device, Dummy):
        return "dummy", {}
    parent = _link(ip, device.parent)["index"]
    if isinstance(device, Ipvlan):
        return "ipvlan", {"link": parent, "ipvlan_mode": _IPVLAN_L2}
    return "macvlan", {"link": parent, "macvlan_mode": _MACVLAN_BRIDGE}


def _move(ip: Any, link: Any, netns: int, interface: str) -> None:
    ip.link("set", index=link["index"], state="down")
    ip.link("set", index=link["index"], net_ns_fd=netns, ifname=interface)


def _set_up(interface: str, device: Device) -> None:
    sysctl.settle_container(interface)
    with netlink.routes() as ip, netlink.asking(f"set up {interface} in the container"):
        index = _link(ip, interface)["index"]
        for address in (device.ip, device.ip6):
            if address is not None:
                netlink.add_address(ip, index, address)
        ip.link("set", index=index, state="up")


def _take_out(added: Added, home: int) -> None:
    with netlink.routes() as ip, netlink.asking(f"take the interface {added.interface}"):
        link = netlink.find_link(ip, added.interface)
        if link is None:
            return
        if added.came_from is None:
            netlink.delete_link(ip, link)
        else:
            _move(ip, link, home, added.came_from)


def _unused_name() -> str:
    with netlink.routes() as ip, netlink.asking("look at the container's interfaces"):
        used = {link.get_attr("IFLA_IFNAME") for link in ip.get_links()}
    return next(name for name in (f"eth{n}" for n in range(len(used) + 1)) if name not in used)


def _has(interface: str) -> bool:
    with netlink.routes() as ip, netlink.asking(f"look for the interface {interface}"):
        return netlink.find_link(ip, interface) is not None


def _link(ip: Any, name: str) -> Any:
    link = netlink.find_link(ip, name)
    if link is None:
        raise NotFound(f"there is no interface {name}")
    return link
