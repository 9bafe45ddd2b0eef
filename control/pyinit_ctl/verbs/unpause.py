"""`pyinit-ctl unpause`: let everything in a paused container go on."""

from __future__ import annotations

import click

from pyinit_ctl.blocking import BlockingClient


@click.command("unpause")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET…")
def command(targets: tuple[str, ...]) -> None:
    """Let everything in a paused container go on."""
    for target in targets:
        with BlockingClient(target) as client:
            client.call("Thaw")
