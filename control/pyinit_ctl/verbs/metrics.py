"""`pyinit-ctl metrics`: what containers use, for Prometheus."""

from __future__ import annotations

import sys

import click

from pyinit_ctl.click_options import json_option
from pyinit_ctl.gather import ask, running
from pyinit_ctl.metrics import exposition
from pyinit_ctl.output import print_json
from pyinit_ctl.registry import resolve


@click.command("metrics")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@json_option
def command(targets: tuple[str, ...], as_json: bool) -> None:
    """Print what containers use in Prometheus' text format; without a target, of all that run.

    One that does not answer within a second has pyinit_up 0. For node_exporter, write it to a
    file of its textfile collector.
    """
    answers = ask([resolve(target) for target in targets] if targets else running())
    if as_json:
        print_json(answers)
    else:
        sys.stdout.buffer.write(exposition(answers))
        sys.stdout.buffer.flush()
