"""`pyinit-ctl signal`: a signal for a service or an exec."""

from __future__ import annotations

from contextlib import suppress

import click

from pyinit.errors import Unsupported, UsageError
from pyinit.spec.signals import parse_signal
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.results import convert
from pyinit_ctl.service_results import Service


@click.command("signal")
@click.argument("target")
@click.argument("name", metavar="SERVICE|EXEC")
@click.argument("signal_name", metavar="SIGNAL")
@click.option("--all", "whole_tree", is_flag=True, help="To every process it started.")
@click.option("--service", "kind", flag_value="service", help="NAME is a service's.")
@click.option("--exec", "kind", flag_value="exec", help="NAME is an exec's id.")
def command(target: str, name: str, signal_name: str, whole_tree: bool, kind: str | None) -> None:
    """Send a signal, by name or number, to a service or an exec."""
    parse_signal(signal_name)
    with BlockingClient(target) as client:
        if (kind or _kind(client, name)) == "service":
            method, key = "SignalService", "service"
        else:
            method, key = "SignalExec", "id"
        client.call(method, **{key: name}, signal=signal_name, all=whole_tree or None)


def _kind(client: BlockingClient, name: str) -> str:
    if not _is_service(client, name):
        return "exec"
    if any(each.id == name for each in client.execs()):
        raise UsageError(f"{name} is a service and an exec: say --service or --exec")
    return "service"


def _is_service(client: BlockingClient, name: str) -> bool:
    with suppress(Unsupported):  # an init that has no services
        services = convert(client.call("ListServices"), "services", list[Service])
        return any(each.name == name for each in services)
    return False
