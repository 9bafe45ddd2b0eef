"""What a verb's command line is made of, whatever parses it: a table of ours, or click."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import click

from pyinit_ctl import dial, exec_options
from pyinit_ctl.flags import FLAG


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its spellings, and what its value is called in the help, empty for a flag."""

    names: tuple[str, ...]
    metavar: str
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """The options, the operands by what the help calls them, and verbs below this one.

    The last operand stands for all further ones where `repeats`. With `mixed` options may
    stand between the operands.
    """

    options: tuple[Option, ...] = ()
    operands: tuple[str, ...] = ()
    repeats: bool = False
    mixed: bool = True
    verbs: dict[str, str] = field(default_factory=dict)

    def option(self, name: str) -> Option | None:
        """The option of that spelling."""
        return next((each for each in self.options if name in each.names), None)

    def operand(self, place: int) -> str:
        """What the operand at a place is; empty where there is none."""
        if place >= len(self.operands) and not (self.repeats and self.operands):
            return ""
        return self.operands[min(place, len(self.operands) - 1)]


def exec_shape() -> Shape:
    """The shape of `exec`; the command behind the target is the container's affair."""
    options = [
        Option(
            (f"--{each.long}", *([f"-{each.short}"] if each.short else [])),
            "" if each.kind == FLAG else each.metavar,
            each.help,
        )
        for each in exec_options.OPTIONS
    ]
    return Shape(tuple(options), ("TARGET",), mixed=False)


def dial_shape() -> Shape:
    """The shape of `dial`."""
    options = (
        Option((dial.HANG_UP,), "", "close the connection at the end of standard input"),
        Option(("--help",), "", "show what it is for"),
    )
    return Shape(options, ("TARGET",), mixed=False)


def shape_of(command: click.Command) -> Shape:
    """The shape of a command of click."""
    context = click.Context(command)
    operands = [each for each in command.params if isinstance(each, click.Argument)]
    return Shape(
        tuple(_options(command, context)),
        tuple(_kind(each) for each in operands),
        repeats=any(each.nargs == -1 for each in operands),
        mixed=bool(command.context_settings.get("allow_interspersed_args", True)),
        verbs=_verbs(command, context),
    )


def _options(command: click.Command, context: click.Context) -> Iterator[Option]:
    for each in command.get_params(context):
        if isinstance(each, click.Option) and not each.hidden:
            metavar = "" if each.is_flag or each.count else each.make_metavar(context)
            kind = each.type
            choices = tuple(map(str, kind.choices)) if isinstance(kind, click.Choice) else ()
            names = (*each.opts, *each.secondary_opts)
            yield Option(names, metavar, each.help or "", choices)


def _kind(operand: click.Argument) -> str:
    """TARGET for `[TARGET]...`, as for an operand named target."""
    name = operand.metavar or operand.name or ""
    return name.upper().strip("[].… ")


def _verbs(command: click.Command, context: click.Context) -> dict[str, str]:
    if not isinstance(command, click.Group):
        return {}
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: each.get_short_help_str(100) for name, each in found.items() if each is not None}
