"""`pyinit-ctl reload`: run the services of a file in place of the present ones."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from pyinit.spec.services_file import load_services
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.click_options import json_option
from pyinit_ctl.output import print_json
from pyinit_ctl.printable import printable
from pyinit_ctl.results import convert
from pyinit_ctl.service_results import Difference
from pyinit_ctl.service_tables import describe_difference


@click.command("reload")
@click.argument("target")
@click.argument("path")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask, on a terminal.")
@json_option
def command(target: str, path: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Run the services of PATH, a TOML file or folder, in place of the present ones.

    The difference is shown first. Only what changed is restarted.
    """
    services = msgspec.to_builtins(load_services(path))
    with BlockingClient(target) as client:
        difference = _reload(client, services, dry_run=True)
        if as_json:
            print_json(difference)
        else:
            for line in describe_difference(difference):
                click.echo(printable(line))
        if dry_run or not difference:
            return
        if sys.stdin.isatty() and not yes:
            click.confirm("Change that?", abort=True)
        _reload(client, services, dry_run=None)


def _reload(client: BlockingClient, services: Any, *, dry_run: bool | None) -> Difference:
    answer = client.call("ReloadServices", services=services, dry_run=dry_run)
    return convert(answer, "difference", Difference)
