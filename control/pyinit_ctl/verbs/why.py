"""`pyinit-ctl why`: what start-up or shutdown is waiting for."""

from __future__ import annotations

import click

from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.click_options import json_option
from pyinit_ctl.output import print_json, print_table
from pyinit_ctl.printable import printable
from pyinit_ctl.replies import text
from pyinit_ctl.results import convert
from pyinit_ctl.service_results import Awaited
from pyinit_ctl.service_tables import seconds


@click.command("why")
@click.argument("target")
@json_option
def command(target: str, as_json: bool) -> None:
    """Say what start-up or shutdown is waiting for, and for how long."""
    with BlockingClient(target) as client:
        answer = client.call("Why")
    state, waits = text(answer, "state"), convert(answer, "waits", list[Awaited])
    if as_json:
        print_json({"state": state, "waits": waits})
    elif waits:
        print_table(("SERVICE", "STATE", "FOR", "LEFT", "WHAT"), [_row(each) for each in waits])
    else:
        click.echo(f"nothing: the container is {printable(state)}")


def _row(each: Awaited) -> tuple[object, ...]:
    left = "-" if each.left is None else seconds(each.left)
    return each.service or "-", each.state, seconds(each.seconds), left, each.what
