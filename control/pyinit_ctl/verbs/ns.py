"""`pyinit-ctl ns`: namespaces that outlive their containers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from pyinit.container import clearing, folder, pins
from pyinit.errors import NotFound
from pyinit.spec.container import check_pin
from pyinit_ctl import records, registry
from pyinit_ctl.click_options import json_option
from pyinit_ctl.output import print_json, print_table


@click.group("ns", help="List and release namespaces that were kept with `run --pin`.")
def command() -> None:
    """The group of the two."""


@command.command("ls")
@json_option
def list_kept(as_json: bool) -> None:
    """List the namespaces that are kept, by container."""
    found = [entry for name in registry.names() for entry in _kept(name)]
    if as_json:
        print_json(found)
        return
    print_table(
        ("NAME", "KIND", "INODE", "CONTAINER", "PATH"),
        [
            (entry["name"], entry["kind"], entry["inode"], entry["container"], entry["path"])
            for entry in found
        ],
    )


@command.command("rm")
@click.argument("name")
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
def release(name: str, kinds: tuple[str, ...]) -> None:
    """Let go of a container's namespaces: of those kinds, or all. Whoever is in one keeps it."""
    for kind in kinds:
        check_pin(kind)
    registry.container(name)
    with folder.locked(name) as path:
        if not pins.release(path, kinds or None):
            raise NotFound(f"no such namespace of {name!r} is kept; `pyinit-ctl ns ls` lists them")
        clearing.clear_ended(path)


def _kept(name: str) -> list[dict[str, Any]]:
    target = registry.container(name)
    place = Path(folder.run_directory(), name)
    alive = records.is_alive(records.read_state(target))
    return [
        {
            "name": name,
            "kind": kind,
            "inode": os.stat(pins.path(place, kind)).st_ino,
            "container": "running" if alive else "ended",
            "path": str(pins.path(place, kind)),
        }
        for kind in pins.pinned(place)
    ]
