#!/usr/bin/env python3
"""Writes docs/reference/cli.md from the command line's own tables; with --check compares only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "control")]

from pyinit_ctl import dial as dial_verb  # noqa: E402
from pyinit_ctl.cli import VERBS, root  # noqa: E402
from pyinit_ctl.exec_help import ABOUT  # noqa: E402
from pyinit_ctl.exec_options import OPTIONS, USAGE  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "cli.md"

HEAD = """\
# pyinit-ctl

<!-- Written by tools/reference_cli.py from the tables that parse the command line. -->

`pyinit-ctl VERB [OPTIONS] TARGET …`. A target is the name of a container, or the path of any
control socket (with a `/` in it). Options come before the target; what is behind the target, or
behind `--`, belongs to the command. Every verb that prints data has `--json`.

Containers are looked for in `/run/pyinit` for root, in `$XDG_RUNTIME_DIR/pyinit` for others, and
in `$PYINIT_RUN_DIR` where that is set.

Failures are one line on standard error and exit status 125.
"""


def page() -> str:
    """The whole page."""
    verbs = [line for verb in VERBS for line in _verb(verb)]
    dial = ["## dial", "", "```", dial_verb.USAGE, "```", "", dial_verb.ABOUT]
    return "\n".join([HEAD, *_exec(), *verbs, *dial]).rstrip() + "\n"


def _exec() -> Iterator[str]:
    yield from ("## exec", "", "```", USAGE, "```", "", ABOUT, "")
    rows = []
    for option in OPTIONS:
        names = [f"-{option.short}"] if option.short else []
        rows.append((", ".join([*names, f"--{option.long}"]), option.metavar, option.help))
    yield from _table(rows)


def _verb(verb: str) -> Iterator[str]:
    context = click.Context(root, info_name="pyinit-ctl")
    command = root.get_command(context, verb)
    assert command is not None
    own = click.Context(command, info_name=verb, parent=context)
    usage = command.get_usage(own).removeprefix("Usage: ")
    about = " ".join((command.help or "").split())
    yield from (f"## {verb}", "", "```", " ".join(usage.split()), "```", "", about, "")
    options = [each for each in command.get_params(own) if isinstance(each, click.Option)]
    yield from _table([_option(each, own) for each in options if not each.hidden])


def _option(option: click.Option, context: click.Context) -> tuple[str, str, str]:
    names = ", ".join([*option.opts, *option.secondary_opts])
    metavar = "" if option.is_flag or option.count else option.make_metavar(context)
    about = option.help or ""
    if option.show_default and option.default is not None:
        about += f" [{option.default}]"
    return names, metavar, about


def _table(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    yield from ("| option | value | |", "|---|---|---|")
    for names, metavar, about in rows:
        value = f"`{metavar}`" if metavar else ""
        yield f"| `{names}` | {value} | {about} |".replace("|  |", "| |")
    yield ""


def main() -> int:
    """Write the page, or with --check say whether it is up to date."""
    wanted = page()
    if "--check" in sys.argv[1:]:
        return int(not PAGE.exists() or PAGE.read_text() != wanted)
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
