"""`pyinit-ctl ls`: the containers of this user."""

from __future__ import annotations

import time
from typing import Any

import click

from pyinit.container.clearing import collect
from pyinit.errors import PyinitError
from pyinit_ctl import records, registry
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.output import ago, command_line, json_option, print_json, print_table

# A container that does not answer must not keep the others from being listed.
_PATIENCE = 1.0


@click.command("ls")
@click.option("--running", is_flag=True, help="Only those that run.")
@click.option("-q", "--quiet", is_flag=True, help="Print names only.")
@json_option
def command(running: bool, quiet: bool, as_json: bool) -> None:
    """List containers, those that have ended too, with their exit status."""
    collect()
    found = [describe(name) for name in registry.names()]
    if running:
        found = [entry for entry in found if entry["exit"] is None]
    if as_json:
        print_json(found)
    elif quiet:
        click.echo("".join(f"{entry['name']}\n" for entry in found), nl=False)
    else:
        print_table(
            ("NAME", "STATE", "PID", "CREATED", "COMMAND"),
            [
                (
                    entry["name"],
                    entry["state"],
                    entry["pid"] or "-",
                    ago(entry["created"]),
                    command_line(entry["command"]),
                )
                for entry in found
            ],
        )


def describe(name: str) -> dict[str, Any]:
    """What is known of a container; `exit` is None while it runs."""
    target = registry.container(name)
    state = records.read_state(target)
    end = records.read_exit(target)
    return {
        "name": name,
        "state": _asked(target) if end is None else f"exited ({end.code})",
        "pid": state.pid if end is None else None,
        "created": state.created,
        "uptime": time.time() - state.created if end is None and state.created else None,
        "hostname": state.text("hostname"),
        "root": state.text("root"),
        "command": state.command,
        "control": target.path,
        "exit": None if end is None else end.to_json(),
    }


def _asked(target: registry.Target) -> str:
    try:
        with BlockingClient(target) as client:
            client.set_timeout(_PATIENCE)
            return client.describe().state
    except PyinitError:
        return "silent"
