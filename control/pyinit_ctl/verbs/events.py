"""`pyinit-ctl events`: what has happened in a container."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

import click
from msgspec import Struct

from pyinit.spec.signals import signal_name
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.click_options import json_option
from pyinit_ctl.printable import printable
from pyinit_ctl.results import convert
from pyinit_ctl.stdio import say


class Event(Struct, frozen=True):
    """One event; `time` in seconds since 1970."""

    number: int
    time: float
    kind: str
    subject: str
    details: dict[str, Any]


@click.command("events")
@click.argument("target")
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@click.option(
    "--after",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Only what came after the event with this number.",
)
@json_option
def command(target: str, follow: bool, after: int | None, as_json: bool) -> None:
    """Print what has happened in a container: starts, ends, signals, execs, the shutdown.

    Events have numbers. Who comes back with --after and the last one that it saw misses
    nothing, or is told how many events are kept no more.
    """
    with BlockingClient(target) as client:
        for reply in client.stream("Events", after=after, follow=follow or None):
            missed = reply.get("missed")
            if isinstance(missed, int) and missed and after is not None:
                say(f"{missed} events came meanwhile that are kept no more")
            for event in convert(reply, "events", list[Event]):
                _print(event, as_json)
            sys.stdout.flush()


def _print(event: Event, as_json: bool) -> None:
    if as_json:
        fields = {name: getattr(event, name) for name in Event.__struct_fields__}
        sys.stdout.write(json.dumps(fields) + "\n")
        return
    when = datetime.fromtimestamp(event.time).astimezone().isoformat(" ", "milliseconds")
    words = [str(event.number), when, event.kind, event.subject or "-"]
    words += [f"{name}={_value(name, value)}" for name, value in event.details.items()]
    sys.stdout.write(printable(" ".join(words)) + "\n")


def _value(name: str, value: object) -> str:
    if name == "signal" and isinstance(value, int):
        return signal_name(value)
    return value if isinstance(value, str) and value.isalnum() else json.dumps(value)
