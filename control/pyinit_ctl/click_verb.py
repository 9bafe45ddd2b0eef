"""A click command made from a verb's table: for its help, the reference and completion."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from pyinit_ctl.flags import FLAG, LIST, Given, Option
from pyinit_ctl.verb import Verb

if TYPE_CHECKING:
    from pyinit_ctl.flags import Values


def command_of(verb: Verb) -> click.Command:
    """The verb as click knows verbs; invoked it does what `verb.main` does."""

    def call(**values: Any) -> None:
        words = [word for place in range(len(verb.operands)) for word in _words(values, place)]
        sys.exit(verb.carry_out(Given(_given(verb, values)), words))

    options: list[click.Parameter] = [_option(each) for each in verb.options]
    operands = [_operand(place, text) for place, text in enumerate(verb.operands)]
    return click.Command(
        verb.name,
        params=[*options, *operands],
        callback=call,
        help=verb.about,
        context_settings={
            "allow_interspersed_args": not verb.command,
            "help_option_names": ["-h", "--help"],
        },
    )


def show_help(verb: Verb) -> int:
    """Print the help on stdout. Returns exit status 0."""
    command = command_of(verb)
    name = f"pyinit-ctl {verb.name}"
    click.echo(command.get_help(click.Context(command, info_name=name, max_content_width=100)))
    return 0


def _option(option: Option) -> click.Option:
    names = [f"-{option.short}"] if option.short else []
    names += [f"--{name}" for name in (option.long, option.also) if name]
    if option.kind == FLAG:
        return click.Option(
            [_parameter(option), *names],
            is_flag=True,
            help=option.help,
            hidden=not option.help,
        )
    return click.Option(
        [_parameter(option), *names],
        multiple=option.kind == LIST,
        metavar=option.metavar,
        help=option.help,
    )


def _parameter(option: Option) -> str:
    """Its name among the values: no operand's, and no word of Python's."""
    return "option_" + option.long.replace("-", "_")


def _operand(place: int, text: str) -> click.Argument:
    many = "..." in text
    return click.Argument(
        [f"operand_{place}"],
        nargs=-1 if many else 1,
        required=not text.startswith("["),
        type=click.UNPROCESSED,
        metavar=text,
    )


def _words(values: dict[str, Any], place: int) -> list[str]:
    found = values[f"operand_{place}"]
    if found is None:
        return []
    return list(found) if isinstance(found, tuple) else [found]


def _given(verb: Verb, values: dict[str, Any]) -> Values:
    found: Values = {}
    for option in verb.options:
        value = values[_parameter(option)]
        if value:
            found[option.long] = list(value) if isinstance(value, tuple) else value
        elif value == "":
            found[option.long] = ""
    return found
