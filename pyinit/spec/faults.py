"""What is wrong with a specification, and where: every fault at once, not the first only."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pyinit.errors import UsageError

Path = tuple[str | int, ...]
"""The way to a value: keys of tables and indexes of arrays, from the outside in."""


class Place(msgspec.Struct, frozen=True):
    """A position in a file; lines and columns count from 1, columns in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong. `place` is None where the value came from no file."""

    path: Path
    message: str
    place: Place | None = None

    def __str__(self) -> str:
        where = str(self.place) if self.place else dotted(self.path)
        return f"{where}: {self.message}" if where else self.message


class SpecError(UsageError):
    """A specification that can't be used. `faults` holds everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def dotted(path: Path) -> str:
    """The path as it would be written in TOML: `services.web.checks.alive`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
