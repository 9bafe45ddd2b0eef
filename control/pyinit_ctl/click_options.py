"""Options that verbs have in common, for those that go by click."""

from __future__ import annotations

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
no_wait = click.option("--no-wait", is_flag=True, help="Don't wait until it has happened.")
services_argument = click.argument("services", nargs=-1, required=True, metavar="SERVICE...")
