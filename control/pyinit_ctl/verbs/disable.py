"""`pyinit-ctl disable`: which services are started with the container's others."""

from __future__ import annotations

import click

from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.click_options import services_argument


@click.command("disable")
@click.argument("target")
@services_argument
def command(target: str, services: tuple[str, ...]) -> None:
    """Let services be started only when asked for; running ones run on.

    That counts until the container ends, or a reload says otherwise.
    """
    with BlockingClient(target) as client:
        client.call("EnableService", services=list(services), enabled=False)
