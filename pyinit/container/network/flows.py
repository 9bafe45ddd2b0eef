"""The kernel's memory of UDP conversations, which outlives the rules that shaped them.

Only the first packet of a conversation passes the NAT chains. A client that goes on sending
from one port would be answered by nobody, or by a dead container's address, until it pauses
for half a minute (moby#8795). TCP ends by itself.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from typing import Any

from pyinit.container.network.netlink import asking, routes
from pyinit.errors import SystemFault
from pyinit.spec.network import Publish

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def forget(publish: Iterable[Publish]) -> None:
    """Let the next packet to these ports of the host's pass its rules anew. TCP is left alone.

    A kernel that can't tell its flows (no nf_conntrack_netlink) forgets them in its own time.
    """
    udp = [one for one in publish if one.protocol == "udp"]
    if not udp:
        return
    own = _host_addresses()
    for one in udp:
        for version in one.families:
            with contextlib.suppress(SystemFault), asking(f"forget the flows of port {one}"):
                _forget(one, _FAMILIES[version], own)


def _host_addresses() -> set[str]:
    with routes() as ip, asking("look at the host's addresses"):
        return {str(address.get_attr("IFA_ADDRESS")) for address in ip.get_addr()}


def _forget(publish: Publish, family: int, host_addresses: set[str]) -> None:
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

    exact = {"dport": publish.host_port} if publish.count == 1 else {}
    wanted = NFCTAttrTuple(family=family, proto=socket.IPPROTO_UDP, **exact)
    with NFCTSocket(nfgen_family=family) as conntrack:
        for entry in list(conntrack.dump(tuple_orig=wanted)):
            asked = NFCTAttrTuple.from_netlink(family, entry.get_attr("CTA_TUPLE_ORIG"))
            if _is_to(asked, publish, host_addresses):
                conntrack.entry("del", tuple_orig=asked)


def _is_to(asked: Any, publish: Publish, host_addresses: set[str]) -> bool:
    """Checked here as well, since kernels before 5.8 tell all flows, whatever is asked for."""
    ports = range(publish.host_port, publish.host_port + publish.count)
    return (
        asked.proto == socket.IPPROTO_UDP and asked.dport in ports and asked.daddr in host_addresses
    )
