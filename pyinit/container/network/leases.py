"""Who has which address and port: one JSON file for each bridge, all under one lock.

The files are the only memory there is between the processes that make and unmake containers.
They lie on /run, so a reboot forgets them together with the bridges.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pyinit.container.network import subnets
from pyinit.container.network.netlink import fault
from pyinit.errors import InUse, SystemFault, UsageError
from pyinit.spec.network import BridgeNetwork, Publish


class Lease(msgspec.Struct, frozen=True):
    """What one interface of one container holds: addresses without prefix length, and ports."""

    ipv4: str | None
    ipv6: str | None
    publish: tuple[Publish, ...] = ()


class Record(msgspec.Struct):
    """A bridge as its file has it.

    `ipv4` and `ipv6` are the bridge's addresses with prefix length; `made` is false for a
    bridge that somebody else made, which pyinit neither translates for nor removes; `last` is
    the offset of the address that was given last; `leases` go by owner ("web", or "web/eth1").
    """

    bridge: str
    ipv4: str | None
    ipv6: str | None
    made: bool
    nat: bool
    last: int = 1
    leases: dict[str, Lease] = {}


class Ledger:
    """The files of one folder, while its lock is held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, bridge: str) -> Record | None:
        """The record of a bridge, or None. Raises UsageError when the file is not ours."""
        return self._load(self._path(bridge))

    def records(self) -> list[Record]:
        """The records of all bridges."""
        found = (self._load(path) for path in sorted(self.folder.glob("*.json")))
        return [record for record in found if record is not None]

    def write(self, record: Record) -> None:
        """Put a record in place whole; a crash leaves the old one or the new one."""
        path = self._path(record.bridge)
        draft = path.with_suffix(".new")
        try:
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
            draft.rename(path)
        except OSError as error:
            raise SystemFault(f"write {path}", error) from None

    def forget(self, bridge: str) -> None:
        """Remove the record of a bridge."""
        self._path(bridge).unlink(missing_ok=True)

    def _path(self, bridge: str) -> Path:
        return self.folder / f"{bridge}.json"

    def _load(self, path: Path) -> Record | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise UsageError(f"{path} holds no leases of pyinit ({error}); remove it") from None


@contextmanager
def locked(folder: Path) -> Iterator[Ledger]:
    """Hold the lock of all bridges' files in `folder`, which is made (0700) when missing.

    The lock goes with the process if it dies. Raises SystemFault.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise fault(f"open the leases in {folder}", error) from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield Ledger(folder)
    finally:
        os.close(held)


def take(record: Record, owner: str, network: BridgeNetwork, publish: tuple[Publish, ...]) -> Lease:
    """Give `owner` addresses of the bridge and put them down in `record`.

    Raises InUse when an address or the owner's name is taken or nothing is free, UsageError for
    an address that is not the bridge's to give.
    """
    if owner in record.leases:
        raise InUse(
            f"{owner} has addresses on {record.bridge} already; pyinit-ctl gc clears a dead one's"
        )
    held = record.leases.values()
    ipv4 = _address(record, record.ipv4, network.ip, [x.ipv4 for x in held], record.last)
    start = record.last if ipv4 is None else max(1, _offset(record.ipv4, ipv4) - 1)
    ipv6 = _address(record, record.ipv6, network.ip6, [x.ipv6 for x in held], start)
    record.last = _offset(record.ipv4, ipv4) or _offset(record.ipv6, ipv6)
    lease = Lease(ipv4, ipv6, publish)
    record.leases[owner] = lease
    return lease


def all_of(folder: Path) -> list[tuple[str, str, Lease]]:
    """(bridge, owner, lease) of everything that is leased now."""
    with locked(folder) as ledger:
        return [
            (record.bridge, owner, lease)
            for record in ledger.records()
            for owner, lease in record.leases.items()
        ]


def check_ports(records: list[Record], publish: tuple[Publish, ...]) -> None:
    """Raise InUse when a container, on whatever bridge, publishes one of these ports already."""
    for record in records:
        for owner, lease in record.leases.items():
            for wanted in publish:
                if any(wanted.overlaps(held) for held in lease.publish):
                    raise InUse(f"port {wanted} of the host is published by {owner} already")


def _offset(gateway: str | None, address: str | None) -> int:
    if gateway is None or address is None:
        return 0
    return subnets.offset(address, subnets.interface(gateway).network)


def _address(
    record: Record, gateway: str | None, asked: str | None, taken: list[str | None], after: int
) -> str | None:
    if gateway is None:
        if asked is not None:
            raise UsageError(f"{asked}: {record.bridge} has no network of that family")
        return None
    bridge = subnets.interface(gateway)
    used = {address for address in taken if address is not None} | {str(bridge.ip)}
    if asked is None:
        return str(subnets.free_address(bridge.network, used, after))
    subnets.check_asked(asked, bridge.network)
    wanted = subnets.canonical(asked)
    if wanted in used:
        raise InUse(f"the address {wanted} on {record.bridge} is taken")
    return wanted
