"""`pyinit-ctl services`."""

from __future__ import annotations

import click

from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.click_options import json_option
from pyinit_ctl.output import print_json
from pyinit_ctl.results import convert
from pyinit_ctl.service_results import Service
from pyinit_ctl.service_tables import print_services


@click.command("services")
@click.argument("target")
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@json_option
def command(target: str, services: tuple[str, ...], as_json: bool) -> None:
    """List the services of a container."""
    with BlockingClient(target) as client:
        answer = client.call("ListServices", services=list(services) or None)
    found = convert(answer, "services", list[Service])
    if as_json:
        print_json(found)
    else:
        print_services(found)
