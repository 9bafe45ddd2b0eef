"""What gives containers their interfaces, and takes them back: the order of it.

Every resource has a module of its own that makes and unmakes it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from pyinit.container.network import (
    bridge,
    devices,
    firewall,
    leases,
    netlink,
    ports,
    subnets,
    veth,
)
from pyinit.container.network.attachment import FOLDER, Added, Attachment
from pyinit.errors import UsageError
from pyinit.spec.network import BridgeNetwork, Device, Publish


def attach(
    stack: contextlib.ExitStack,
    name: str,
    netns: int,
    network: BridgeNetwork,
    publish: Iterable[Publish] = (),
    *,
    interface: str = "eth0",
    default_route: bool = True,
    folder: Path = FOLDER,
) -> Attachment:
    """Put the network namespace `netns` (a descriptor) on a bridge; made when it is not there.

    `name` is the owner of everything that is made; undoing goes on `stack`. Raises InUse for
    an address or port that is taken, UsageError for a network that can't be, Unsupported
    without root, nftables or a writable /proc/sys, SystemFault.
    """
    with netlink.routes() as ip:
        attachment = _reserve(ip, name, network, tuple(publish), interface, folder)
        stack.callback(detach, attachment, folder=folder)
        inside = veth.Inside(netns, interface, attachment.mac)
        veth.make(ip, name, network.name, inside, hairpin=bool(attachment.publish))
    gateways = attachment.gateways if default_route else []
    veth.set_up(netns, interface, attachment.addresses, gateways)
    ports.put(name, network.name, attachment.lease)
    return attachment


def detach(attachment: Attachment, *, folder: Path = FOLDER) -> None:
    """Take back what `attach` gave: ports, veth, addresses, and an unused bridge.

    What is gone already is no error, so it can be called again.
    """
    _take_back(attachment.owner, attachment.bridge, attachment.lease, folder)


def add_interface(
    netns: int,
    name: str,
    device: BridgeNetwork | Device,
    *,
    interface: str | None = None,
    folder: Path = FOLDER,
) -> Attachment | Added:
    """Give the running container `name`, by its namespace, one more interface.

    `interface` is its name inside, by default the next ethN. A bridge's comes without a default
    route and is leased under NAME/INTERFACE, so `clear` finds it. Raises as `attach` does,
    InUse when the container has such an interface, NotFound for a parent that is not there.
    """
    inside = interface or devices.unused_name(netns)
    if not isinstance(device, BridgeNetwork):
        return devices.add(netns, inside, device)
    devices.check_unused(netns, inside)
    with contextlib.ExitStack() as undo:
        owner = f"{name}/{inside}"
        added = attach(
            undo, owner, netns, device, interface=inside, default_route=False, folder=folder
        )
        undo.pop_all()
    return added


def del_interface(netns: int, added: Attachment | Added, *, folder: Path = FOLDER) -> None:
    """Take back what `add_interface` gave. What is gone already is no error."""
    if isinstance(added, Attachment):
        detach(added, folder=folder)
    else:
        devices.remove(netns, added)


def clear(live: Collection[str], *, folder: Path = FOLDER) -> list[str]:
    """Take back what belongs to containers that are not among `live`; returns the owners.

    Leases are written before anything is made and removed last, so they tell of all that a
    killed process can have left behind.
    """
    if not folder.is_dir():
        return []
    dead = [one for one in leases.all_of(folder) if one[1].partition("/")[0] not in live]
    for where, owner, lease in dead:
        _take_back(owner, where, lease, folder)
    return [owner for _, owner, _ in dead]


def clear_owner(name: str, *, folder: Path) -> None:
    """Take back all that the container `name` has on any bridge, interfaces added later too."""
    for where, owner, lease in leases.all_of(folder):
        if owner.partition("/")[0] == name:
            _take_back(owner, where, lease, folder)


def owners(*, folder: Path) -> set[str]:
    """The containers that have something on a bridge."""
    return {owner.partition("/")[0] for _, owner, _ in leases.all_of(folder)}


def _reserve(
    ip: Any,
    owner: str,
    network: BridgeNetwork,
    publish: tuple[Publish, ...],
    interface: str,
    folder: Path,
) -> Attachment:
    with leases.locked(folder) as ledger:
        record = bridge.find(ip, ledger, network)
        _check_publish(ledger, record, publish)
        lease = leases.take(record, owner, network, publish)
        ledger.write(record)
        try:
            bridge.make(ip, record)
            firewall.ensure(record)
        except BaseException:
            _release(ip, ledger, record, owner)
            raise
        return _attachment(record, owner, lease, interface, network.mac)


def _check_publish(
    ledger: leases.Ledger, record: leases.Record, publish: tuple[Publish, ...]
) -> None:
    if not publish:
        return
    if not record.nat:
        why = "it has nat=no" if record.made else "pyinit did not make it"
        raise UsageError(f"-p {publish[0]}: no ports are published on {record.bridge}, since {why}")
    ports.check_reachable(publish, record.ipv4, record.ipv6)
    leases.check_ports(ledger.records(), publish)
    ports.check_unused(publish)


def _attachment(
    record: leases.Record, owner: str, lease: leases.Lease, interface: str, mac: str | None
) -> Attachment:
    gateway4, prefix4 = _split(record.ipv4)
    gateway6, prefix6 = _split(record.ipv6)
    return Attachment(
        owner=owner,
        bridge=record.bridge,
        host_interface=veth.host_name(owner),
        interface=interface,
        mac=mac or veth.mac_for(lease.ipv4),
        ipv4=lease.ipv4,
        prefix4=prefix4,
        gateway4=gateway4,
        ipv6=lease.ipv6,
        prefix6=prefix6,
        gateway6=gateway6,
        publish=lease.publish,
    )


def _split(address: str | None) -> tuple[str | None, int]:
    if address is None:
        return None, 0
    parsed = subnets.interface(address)
    return str(parsed.ip), parsed.network.prefixlen


def _take_back(owner: str, where: str, lease: leases.Lease, folder: Path) -> None:
    ports.remove(owner, lease)
    with netlink.routes() as ip:
        veth.remove(ip, owner)
        with leases.locked(folder) as ledger:
            record = ledger.read(where)
            if record is not None:
                _release(ip, ledger, record, owner)


def _release(ip: Any, ledger: leases.Ledger, record: leases.Record, owner: str) -> None:
    record.leases.pop(owner, None)
    if record.leases:
        ledger.write(record)
        return
    bridge.remove(ip, record)
    firewall.remove(record)
    ledger.forget(record.bridge)
