"""`pyinit-ctl checks`."""

from __future__ import annotations

import click

from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.click_options import json_option
from pyinit_ctl.output import print_json
from pyinit_ctl.results import convert
from pyinit_ctl.service_results import Check
from pyinit_ctl.service_tables import print_checks


@click.command("checks")
@click.argument("target")
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@json_option
def command(target: str, services: tuple[str, ...], as_json: bool) -> None:
    """List the health checks of a container's services."""
    with BlockingClient(target) as client:
        answer = client.call("ListChecks", services=list(services) or None)
    found = convert(answer, "checks", list[Check])
    if as_json:
        print_json(found)
    else:
        print_checks(found)
