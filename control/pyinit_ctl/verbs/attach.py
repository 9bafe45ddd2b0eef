"""`pyinit-ctl attach`: come back to a detached exec."""

from __future__ import annotations

import sys

import click

from pyinit_ctl.attach_exec import attach
from pyinit_ctl.exec_options import key_bytes
from pyinit_ctl.registry import resolve


@click.command("attach")
@click.option("--no-stdin", is_flag=True, help="Only watch.")
@click.option("--detach-keys", default="ctrl-p,ctrl-q", show_default=True, metavar="KEYS")
@click.argument("target")
@click.argument("exec_id")
def command(target: str, exec_id: str, no_stdin: bool, detach_keys: str) -> None:
    """Come back to a detached exec: its kept output, what follows, and its exit status."""
    sys.exit(attach(resolve(target), exec_id, key_bytes(detach_keys), not no_stdin))
