"""`pyinit-ctl signal`: a signal for an exec."""

from __future__ import annotations

import click

from pyinit.spec.signals import parse_signal
from pyinit_ctl.blocking import BlockingClient


@click.command("signal")
@click.argument("target")
@click.argument("exec_id")
@click.argument("signal_name", metavar="SIGNAL")
@click.option("--all", "whole_tree", is_flag=True, help="To every process it started.")
def command(target: str, exec_id: str, signal_name: str, whole_tree: bool) -> None:
    """Send a signal to an exec, by name or number."""
    parse_signal(signal_name)
    with BlockingClient(target) as client:
        client.call("SignalExec", id=exec_id, signal=signal_name, all=whole_tree or None)
