"""`pyinit-ctl ls`: the containers of this user."""

from __future__ import annotations

import time
from typing import Any

from pyinit.container.clearing import collect
from pyinit.errors import PyinitError
from pyinit_ctl import records, registry
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.flags import FLAG, Given, Option
from pyinit_ctl.output import JSON, ago, command_line, print_json, print_table
from pyinit_ctl.stdio import print_line
from pyinit_ctl.verb import Verb

# A container that does not answer must not keep the others from being listed.
_PATIENCE = 1.0


def ls(given: Given, _: list[str]) -> int:
    """Carry out the verb. Raises PyinitError."""
    collect()
    found = [describe(name) for name in registry.names()]
    if given.flag("running"):
        found = [entry for entry in found if entry["exit"] is None]
    if given.flag("json"):
        print_json(found)
    elif given.flag("quiet"):
        for entry in found:
            print_line(entry["name"])
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
    return 0


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


VERB = Verb(
    "ls",
    "List containers, those that have ended too, with their exit status.",
    (
        Option("", "running", FLAG, "", "Only those that run."),
        Option("q", "quiet", FLAG, "", "Print names only."),
        JSON,
    ),
    (),
    ls,
)
