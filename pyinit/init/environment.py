"""Environment files of services: the container's own, so they may be anything."""

from __future__ import annotations

import os
import re
import stat

from pyinit.errors import SystemFault, UsageError

_LARGEST = 1 << 20
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.ASCII)


def read_environment_files(paths: tuple[str, ...]) -> dict[str, str]:
    """The variables in all files, later ones over earlier ones.

    A path with a leading "-" need not exist. Raises SystemFault and UsageError.
    """
    found: dict[str, str] = {}
    for path in paths:
        text = _read(path.removeprefix("-"), optional=path.startswith("-"))
        found |= parse_environment(text, path)
    return found


def parse_environment(text: str, name: str) -> dict[str, str]:
    """`KEY=VALUE` lines; blank lines and those with # are skipped, quotes around a value
    are taken off, nothing is expanded. Raises UsageError with the line."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(line)
        if match is None or "\0" in line:
            raise UsageError(f"{name}:{number}:1: expected KEY=VALUE")
        found[match[1]] = _unquoted(match[2].strip())
    return found


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _read(path: str, *, optional: bool) -> str:
    try:
        # A FIFO or a device would block, or do something, when it is opened.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UsageError(f"environment file {path} is not a regular file")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError as error:
        if optional:
            return ""
        raise SystemFault(f"open environment file {path}", error) from error
    except OSError as error:
        raise SystemFault(f"open environment file {path}", error) from error
    with open(descriptor, "rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise UsageError(f"environment file {path} is larger than {_LARGEST >> 20} MiB")
    return data.decode(errors="surrogateescape")
