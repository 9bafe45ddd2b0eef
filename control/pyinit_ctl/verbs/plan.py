"""`pyinit-ctl plan`: in which order services start."""

from __future__ import annotations

import click

from pyinit.errors import UsageError
from pyinit.spec import order
from pyinit.spec.services_file import load_services
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.click_options import json_option
from pyinit_ctl.output import print_json
from pyinit_ctl.printable import printable
from pyinit_ctl.results import convert


@click.command("plan")
@click.argument("target", required=False)
@click.option("--services", "path", metavar="PATH", help="Of a file or folder, not of a container.")
@json_option
def command(target: str | None, path: str | None, as_json: bool) -> None:
    """Show in which order services start: each line waits for those above it only.

    They stop in the reverse order.
    """
    if (target is None) == (path is None):
        raise UsageError("give a target, or --services PATH for one of its files")
    waves = _of_file(path) if path is not None else _of_container(str(target))
    if as_json:
        print_json(waves)
        return
    for wave in waves:
        click.echo(printable("  ".join(wave)))


def _of_file(path: str) -> list[list[str]]:
    return [list(wave) for wave in order.plan(load_services(path))]


def _of_container(target: str) -> list[list[str]]:
    with BlockingClient(target) as client:
        return convert(client.call("Plan"), "waves", list[list[str]])
