"""`pyinit-ctl call`: any method of the control protocol, by name."""

from __future__ import annotations

import json
from typing import Any

import click

from pyinit.errors import UsageError
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.output import print_json


@click.command("call")
@click.argument("target")
@click.argument("method")
@click.argument("parameters", default="{}")
@click.option("--more", is_flag=True, help="Ask for several answers; each is printed on a line.")
@click.option("--json", "_as_json", is_flag=True, help="Accepted as with other verbs: it is JSON.")
def command(target: str, method: str, parameters: str, more: bool, _as_json: bool) -> None:
    """Call METHOD with PARAMETERS, a JSON object, and print the answer.

    A METHOD without a dot is one of io.pyinit.Control.
    """
    given = _object(parameters)
    with BlockingClient(target) as client:
        if more:
            for answer in client.stream(method, **given):
                print_json(answer, indent=None)
        else:
            print_json(client.call(method, **given))


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"parameters are not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError('parameters must be a JSON object, such as \'{"id": "7"}\'')
    return value
