"""`pyinit-ctl kill`: a signal for a container's main command."""

from __future__ import annotations

import click

from pyinit.spec.signals import parse_signal
from pyinit_ctl.blocking import BlockingClient


@click.command("kill")
@click.argument("target")
@click.option(
    "-s", "--signal", "signal_name", default="KILL", show_default=True, help="Name or number."
)
def command(target: str, signal_name: str) -> None:
    """Send a signal to the main command of a container."""
    parse_signal(signal_name)
    with BlockingClient(target) as client:
        client.call("Kill", signal=signal_name)
