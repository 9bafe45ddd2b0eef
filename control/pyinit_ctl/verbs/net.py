"""`pyinit-ctl net`: interfaces added to a running container, taken from it, and listed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from pyinit.container import folder, network, state
from pyinit.container.network.attachment import Added, Attachment
from pyinit.errors import NotFound
from pyinit.spec.network_options import parse_device
from pyinit_ctl import registry
from pyinit_ctl.click_options import json_option
from pyinit_ctl.output import print_json, print_table


@click.group("net", help="Add interfaces to a running container, take them from it, list them.")
def command() -> None:
    """The group of the three."""


@command.command("add")
@click.argument("name")
@click.argument("device")
@click.option("--name", "interface", metavar="NAME", help="The interface's name inside.")
@json_option
def add(name: str, device: str, interface: str | None, as_json: bool) -> None:
    """Add an interface: bridge[:NAME], macvlan:PARENT, ipvlan:PARENT, dummy or move:INTERFACE.

    Each takes ,ip=ADDRESS/LENGTH and ,ip6=…; a bridge takes what `run --net` takes.
    """
    wanted = parse_device(device)
    with _running(name) as (path, found), _network_of(found) as netns:
        added = network.add_interface(
            netns, found.name, wanted, interface=interface, folder=_folder()
        )
        kept: dict[str, Any] = (
            {"attached": (*found.attached, added)}
            if isinstance(added, Attachment)
            else {"devices": (*found.devices, added)}
        )
        state.save(path, msgspec.structs.replace(found, **kept))
    if as_json:
        print_json(_row(found.name, added))
    else:
        click.echo(added.interface)


@command.command("del")
@click.argument("name")
@click.argument("interface")
def delete(name: str, interface: str) -> None:
    """Take an interface that was added back out of a container."""
    with _running(name) as (path, found), _network_of(found) as netns:
        added: list[Attachment | Added] = [*found.attached, *found.devices]
        for each in added:
            if each.interface == interface:
                network.del_interface(netns, each, folder=_folder())
                break
        else:
            raise NotFound(
                f"no interface {interface!r} was added to {name!r}; `pyinit-ctl net ls` lists them"
            )
        state.save(
            path,
            msgspec.structs.replace(
                found,
                attached=tuple(one for one in found.attached if one.interface != interface),
                devices=tuple(one for one in found.devices if one.interface != interface),
            ),
        )


@command.command("ls")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
def list_interfaces(names: tuple[str, ...], as_json: bool) -> None:
    """List the interfaces of containers, with their addresses and published ports."""
    found = [row for name in names or registry.names() for row in _rows(name)]
    if as_json:
        print_json(found)
        return
    print_table(
        ("NAME", "INTERFACE", "BRIDGE", "ADDRESSES", "PORTS"),
        [
            (
                row["name"],
                row["interface"],
                row["bridge"] or "-",
                " ".join(row["addresses"]),
                " ".join(row["ports"]),
            )
            for row in found
        ],
    )


def _rows(name: str) -> list[dict[str, Any]]:
    registry.container(name)
    found = state.load(Path(folder.run_directory(), name))
    if found is None or not found.is_alive():
        return []
    first = () if found.network is None else (found.network,)
    return [_row(name, each) for each in (*first, *found.attached, *found.devices)]


def _row(name: str, added: Attachment | Added) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "interface": added.interface,
        "bridge": None,
        "addresses": [],
        "ports": [],
    }
    if isinstance(added, Attachment):
        row |= {
            "bridge": added.bridge,
            "host_interface": added.host_interface,
            "mac": added.mac,
            "addresses": added.addresses,
            "ports": [str(port) for port in added.publish],
        }
    return row


@contextmanager
def _running(name: str) -> Iterator[tuple[Path, state.State]]:
    registry.container(name)
    with folder.locked(name) as path:
        found = state.load(path)
        if found is None or not found.is_alive():
            raise NotFound(f"container {name!r} does not run")
        yield path, found


@contextmanager
def _network_of(found: state.State) -> Iterator[int]:
    descriptor = os.open(f"/proc/{found.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _folder() -> Path:
    return folder.run_directory() / "networks"
