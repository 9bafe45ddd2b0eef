"""What verbs print: tables for people, JSON for programs. Neither is loaded before it is needed."""

from __future__ import annotations

import sys
import time

from pyinit_ctl.flags import FLAG, Option
from pyinit_ctl.printable import printable

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

# A table that goes to a file or a pipe is not folded to the width of some terminal.
_WIDE = 10_000

JSON = Option("", "json", FLAG, "", "Print JSON.")


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """A value as JSON on stdout; structs of `results` become objects. ASCII only."""
    import json

    import msgspec

    sys.stdout.write(json.dumps(msgspec.to_builtins(value), indent=indent) + "\n")
    sys.stdout.flush()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under their headings; numbers to the right, and no cell acts on the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    listed = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column, heading in enumerate(headings):
        numbers = listed and all(isinstance(row[column], int | float) for row in listed)
        table.add_column(heading, justify="right" if numbers else "left", no_wrap=True)
    for row in listed:
        table.add_row(*[Text(printable(cell, 200)) for cell in row])
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    console.print(table)


def size(count: int | None) -> str:
    """A number of bytes in units of 1024, three digits or so."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def span(seconds: float) -> str:
    """A time span as people say it: 5s, 3m 20s, 2h 5m, 4d 7h."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def ago(moment: float | None) -> str:
    """How long ago a moment (seconds since 1970) was."""
    return "-" if moment is None else f"{span(time.time() - moment)} ago"


def command_line(argv: Sequence[str]) -> str:
    """A command as it could be typed."""
    from shlex import join

    return join(argv)
