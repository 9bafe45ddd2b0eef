"""`pyinit-ctl inspect`: all that is known of a container."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from pyinit_ctl import records
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.output import print_json
from pyinit_ctl.registry import resolve


@click.command("inspect")
@click.argument("target")
@click.option("--json", "_as_json", is_flag=True, help="Accepted as with other verbs: it is JSON.")
def command(target: str, _as_json: bool) -> None:
    """Print what is known of a container, as JSON: its records, and what its init says."""
    found = resolve(target)
    known: dict[str, Any] = {"control": found.path, "container": None, "state": {}, "exit": None}
    if found.folder is not None:
        end = records.read_exit(found)
        known["state"] = records.read_state(found).fields
        known["exit"] = None if end is None else end.to_json()
    if known["exit"] is None:
        with BlockingClient(found) as client:
            known["container"] = msgspec.to_builtins(client.describe())
    print_json(known)
