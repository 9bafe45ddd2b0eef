"""`pyinit-ctl ps`: the processes of a container."""

from __future__ import annotations

from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.flags import Given
from pyinit_ctl.output import JSON, ago, command_line, print_json, print_table, size, span
from pyinit_ctl.results import Process
from pyinit_ctl.verb import Verb


def ps(given: Given, words: list[str]) -> int:
    """Carry out the verb. Raises PyinitError."""
    (target,) = words
    with BlockingClient(target) as client:
        processes = client.processes()
    if given.flag("json"):
        print_json(processes)
        return 0
    print_table(
        ("PID", "PPID", "USER", "STATE", "CPU", "MEMORY", "STARTED", "COMMAND"),
        [_row(process) for process in processes],
    )
    return 0


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


VERB = Verb(
    "ps",
    "List the processes of a container, by the numbers they have inside.",
    (JSON,),
    ("TARGET",),
    ps,
)
