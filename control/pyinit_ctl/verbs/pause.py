"""`pyinit-ctl pause`: freeze a container's processes, and never its init."""

from __future__ import annotations

import click

from pyinit_ctl.blocking import BlockingClient


@click.command("pause")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET…")
def command(targets: tuple[str, ...]) -> None:
    """Freeze everything in a container but its init: exec, ps and stats still answer.

    What `exec` starts in it then runs, until the container is paused again.
    """
    for target in targets:
        with BlockingClient(target) as client:
            client.call("Freeze")
