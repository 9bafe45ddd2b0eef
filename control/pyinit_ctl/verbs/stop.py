"""`pyinit-ctl stop`: end a container and wait for its end."""

from __future__ import annotations

from contextlib import suppress

import click

from pyinit.container.clearing import clear
from pyinit.errors import ConnectionLost, SystemFault
from pyinit_ctl import records
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.ending import await_end
from pyinit_ctl.output import json_option, print_json
from pyinit_ctl.registry import resolve

# What the init may take beyond the time it has for its processes.
_SLACK = 15.0


@click.command("stop")
@click.argument("target")
@click.option(
    "-t",
    "--timeout",
    type=click.FloatRange(min=0, max=1e9),
    default=10.0,
    show_default=True,
    help="Seconds between TERM and KILL, at the most.",
)
@json_option
def command(target: str, timeout: float, as_json: bool) -> None:
    """End a container: TERM to its processes, KILL to those that stay, and wait for the end."""
    found = resolve(target)
    # Before the request, or the process could be gone and its number another's.
    process = records.open_process(records.read_state(found)) if found.folder else None
    with BlockingClient(found) as client:
        with suppress(ConnectionLost):  # when it is quicker than its own answer
            client.call("Shutdown", timeout=timeout)
        if not await_end(process, client, timeout + _SLACK):
            raise SystemFault(
                f"stop {found}",
                TimeoutError(
                    0,
                    f"its init did not end within {timeout + _SLACK:g} s; "
                    f"`pyinit-ctl rm -f {found}` kills it",
                ),
            )
    end = records.read_exit(found) if found.folder else None
    if found.name is not None:
        clear(found.name)
    if as_json:
        print_json({"name": str(found), "exit": None if end is None else end.to_json()})
