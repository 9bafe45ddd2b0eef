"""`pyinit-ctl ps`: the processes of a container."""

from __future__ import annotations

import click

from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.output import ago, command_line, json_option, print_json, print_table, size, span
from pyinit_ctl.results import Process


@click.command("ps")
@click.argument("target")
@json_option
def command(target: str, as_json: bool) -> None:
    """List the processes of a container, by the numbers they have inside."""
    with BlockingClient(target) as client:
        processes = client.processes()
    if as_json:
        print_json(processes)
        return
    print_table(
        ("PID", "PPID", "USER", "STATE", "CPU", "MEMORY", "STARTED", "COMMAND"),
        [_row(process) for process in processes],
    )


def _row(process: Process) -> tuple[object, ...]:
    return (
        process.pid,
        process.ppid,
        process.user or process.uid,
        process.state,
        span(process.cpu),
        size(process.memory),
        ago(process.started),
        command_line(process.command) or f"[{process.name}]",
    )
