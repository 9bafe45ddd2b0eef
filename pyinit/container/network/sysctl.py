"""The network's settings below /proc/sys/net, for the calling thread's namespace."""

from __future__ import annotations

import os
from pathlib import Path

from pyinit.container.network.netlink import fault

ROOT = Path("/proc/sys/net")


def read(key: str) -> str | None:
    """The value of, for example, "ipv4/ip_forward"; None where this kernel has no such key."""
    try:
        return (ROOT / key).read_text().strip()
    except FileNotFoundError:
        return None


def write(key: str, value: str) -> None:
    """Set a key unless it has the value already. Raises Unsupported or SystemFault."""
    try:
        if read(key) != value:
            (ROOT / key).write_text(value)
    except OSError as error:
        raise fault(f"set net/{key} to {value}", error) from None


def has_ipv6() -> bool:
    """Whether the kernel has IPv6, and new interfaces get it."""
    return read("ipv6/conf/default/disable_ipv6") == "0"


def forward_ipv4() -> None:
    """Let the host pass packets between its interfaces. Stays on: others may rely on it by now."""
    write("ipv4/ip_forward", "1")


def forward_ipv6() -> None:
    """The same for IPv6, without the host losing its own default route.

    A forwarding host ignores router advertisements where accept_ra is 1, and drops the routes
    it learned from them; 2 means "even when forwarding" (Documentation/networking/ip-sysctl).
    """
    if read("ipv6/conf/all/forwarding") == "1":
        return
    for interface in os.listdir(ROOT / "ipv6/conf"):
        key = f"ipv6/conf/{interface}/accept_ra"
        if interface != "all" and read(key) == "1":
            write(key, "2")
    write("ipv6/conf/all/forwarding", "1")


def allow_loopback_through(bridge: str) -> None:
    """Let packets that were sent to 127.0.0.1 and translated leave by the bridge.

    It also lets packets for 127.0.0.0/8 in from there (CVE-2020-8558): the caller has the
    guard rules of firewall.py in place before.
    """
    write(f"ipv4/conf/{bridge}/route_localnet", "1")


def settle_bridge(bridge: str) -> None:
    """Before a bridge is up: it takes no router advertisements from the containers on it.

    Nor does it look for duplicates of its random address, since for that second it could ask
    for nobody's MAC address either.
    """
    if has_ipv6():
        write(f"ipv6/conf/{bridge}/accept_ra", "0")
        write(f"ipv6/conf/{bridge}/accept_dad", "0")


def settle_container(interface: str) -> None:
    """Inside the container's namespace, before the interface is up.

    Other containers on the bridge can send redirects and router advertisements; and the host
    itself sends redirects for a published port of a neighbour, which would lead past its NAT.
    """
    for where in ("all", interface):
        write(f"ipv4/conf/{where}/accept_redirects", "0")
    if has_ipv6():
        write(f"ipv6/conf/{interface}/accept_ra", "0")
        write(f"ipv6/conf/{interface}/accept_redirects", "0")
        write(f"ipv6/conf/{interface}/accept_dad", "0")
