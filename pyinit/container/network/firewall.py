"""What the host does to packets of a bridge: one nftables table for each bridge with NAT.

Containers get out under the host's address; nobody else gets in, save by a published port.
Other tables' verdicts stand: a host whose own firewall drops forwarded packets goes on doing so.
"""

from __future__ import annotations

from pyinit.container.network import nft, subnets
from pyinit.container.network.leases import Record


def table_name(bridge: str) -> str:
    """The table of a bridge."""
    return f"pyinit-bridge-{bridge}"


def ensure(record: Record) -> None:
    """Put the table of a bridge with NAT in place, also again after somebody flushed all rules.

    Raises Unsupported on a kernel without nftables, SystemFault.
    """
    if record.nat and table_name(record.bridge) not in nft.names():
        nft.put(_table(record))


def remove(record: Record) -> None:
    """Take it away; nothing happens when there is none."""
    if record.nat:
        nft.remove(table_name(record.bridge))


def _table(record: Record) -> nft.Table:
    table = nft.Table(table_name(record.bridge))
    _guard_loopback(table, record.bridge)
    _keep_others_out(table, record.bridge)
    for address in (record.ipv4, record.ipv6):
        if address is not None:
            _translate(table, record.bridge, str(subnets.interface(address).network))
    return table


def _guard_loopback(table: nft.Table, bridge: str) -> None:
    """route_localnet on the bridge would let containers reach what listens on 127.0.0.1."""
    from_bridge = nft.interface("iifname", bridge)
    for place in (nft.destination("127.0.0.0/8"), nft.source("127.0.0.0/8")):
        table.rule("filter", "prerouting", "raw", from_bridge, place, nft.drop())


def _keep_others_out(table: nft.Table, bridge: str) -> None:
    """A forwarding host would pass on what its neighbours send to the containers' addresses."""
    table.rule(
        "filter",
        "forward",
        "filter",
        nft.interface("oifname", bridge),
        nft.interface("iifname", bridge, "!="),
        nft.tracked("state", nft.CT_ESTABLISHED_OR_RELATED, any_of=False),
        nft.tracked("status", nft.CT_STATUS_DNAT, any_of=False),
        nft.drop(),
    )


def _translate(table: nft.Table, bridge: str, network: str) -> None:
    ours, inwards = nft.source(network), nft.interface("oifname", bridge)
    outwards = nft.interface("oifname", bridge, "!=")
    translated = nft.tracked("status", nft.CT_STATUS_DNAT, any_of=True)
    table.rule("nat", "postrouting", "srcnat", ours, outwards, nft.masquerade())
    # A container that asks for a neighbour's published port: answered directly, past the
    # host, the answer would come from an address that it never asked.
    table.rule("nat", "postrouting", "srcnat", ours, inwards, translated, nft.masquerade())
    if ":" not in network:
        local = nft.source("127.0.0.0/8")
        table.rule("nat", "postrouting", "srcnat", local, inwards, nft.masquerade())
