"""`pyinit-ctl start`: start services."""

from __future__ import annotations

import sys

import click

from pyinit_ctl.click_options import json_option, no_wait, services_argument
from pyinit_ctl.service_change import change


@click.command("start")
@click.argument("target")
@services_argument
@no_wait
@json_option
def command(target: str, services: tuple[str, ...], no_wait: bool, as_json: bool) -> None:
    """Start services, with what they require and want, and wait until they are up."""
    sys.exit(change(target, "StartService", services, no_wait=no_wait, as_json=as_json))
