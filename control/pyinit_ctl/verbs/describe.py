"""`pyinit-ctl describe`: the interfaces that a control socket speaks."""

from __future__ import annotations

import click

from pyinit.errors import ProtocolError
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.click_options import json_option
from pyinit_ctl.output import print_json
from pyinit_ctl.printable import printable
from pyinit_ctl.replies import INTERFACE, SERVICE, text


@click.command("describe")
@click.argument("target")
@click.argument("interface", default=INTERFACE)
@json_option
def command(target: str, interface: str, as_json: bool) -> None:
    """Print the methods, types and errors of a control socket (its Varlink interface)."""
    with BlockingClient(target) as client:
        if as_json:
            print_json(client.call(f"{SERVICE}.GetInfo"))
            return
        answer = client.call(f"{SERVICE}.GetInterfaceDescription", interface=interface)
    description = text(answer, "description")
    if len(description) > 1 << 20:
        raise ProtocolError("the description is too long to be one")
    for line in description.splitlines():
        click.echo(printable(line))
