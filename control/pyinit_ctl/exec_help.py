"""The help of `pyinit-ctl exec`, from the same table that parses its options."""

from __future__ import annotations

from pyinit_ctl.exec_options import OPTIONS, USAGE
from pyinit_ctl.flags import Option
from pyinit_ctl.stdio import print_line

ABOUT = """\
Run a command in a container, through its init. Options come before the target; everything
behind it belongs to the command. TARGET is a container's name, or the path of a control
socket (with a / in it).

Exit status: the command's own; 128+n when signal n ended it; 124 after --timeout; 125 when
pyinit-ctl failed or the connection was lost; 126 not executable; 127 not found."""


def show() -> int:
    """Print the help on stdout. Returns exit status 0."""
    print_line(help_text().rstrip())
    return 0


def help_text() -> str:
    """Usage, description and one line for each option."""
    rows = [(_spelling(option), option.help) for option in OPTIONS]
    width = max(len(spelling) for spelling, _ in rows) + 2
    lines = "".join(f"  {spelling:<{width}}{text}\n" for spelling, text in rows)
    return f"Usage: {USAGE}\n\n{ABOUT}\n\nOptions:\n{lines}"


def _spelling(option: Option) -> str:
    short = f"-{option.short}, " if option.short else "    "
    return f"{short}--{option.long}" + (f" {option.metavar}" if option.metavar else "")
