"""`pyinit-ctl execs`: commands that run, or ran lately, on request."""

from __future__ import annotations

import click

from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.click_options import json_option
from pyinit_ctl.output import ago, command_line, print_json, print_table
from pyinit_ctl.results import ExecInfo


@click.command("execs")
@click.argument("target")
@json_option
def command(target: str, as_json: bool) -> None:
    """List the execs of a container: running ones, and those that ended lately."""
    with BlockingClient(target) as client:
        found = client.execs()
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "STATE", "USER", "PEER", "PID", "STARTED", "COMMAND"), [_row(each) for each in found]
    )


def _row(info: ExecInfo) -> tuple[object, ...]:
    return (
        info.id,
        _state(info),
        info.user,
        "-" if info.peer_uid is None else info.peer_uid,
        info.pid,
        ago(info.started),
        command_line(info.argv),
    )


def _state(info: ExecInfo) -> str:
    if info.status is None:
        return f"{info.state}, detached" if info.detached else info.state
    if info.timed_out:
        return "timed out"
    if info.status.signal is not None:
        return f"signal {info.status.signal}"
    return f"exited ({info.status.code})"
