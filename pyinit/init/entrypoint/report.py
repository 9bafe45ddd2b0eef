"""init's log before structlog is there, and where it never is: lines of the same two forms."""

from __future__ import annotations

import os
import time

from pyinit.init.entrypoint.options import LEVELS


class Report:
    """Writes to standard error what is at least as grave as `level`."""

    def __init__(self, level: str = "warning", form: str = "auto") -> None:
        self._wanted = LEVELS[: LEVELS.index(level) + 1]
        self._console = form == "console" or (form == "auto" and os.isatty(2))

    def debug(self, event: str, **fields: object) -> None:
        self._say("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._say("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._say("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._say("error", event, fields)

    def _say(self, level: str, event: str, fields: dict[str, object]) -> None:
        if level not in self._wanted:
            return
        line = _console(level, event, fields) if self._console else _json(level, event, fields)
        try:
            os.write(2, f"{line}\n".encode(errors="backslashreplace"))
        except OSError:
            return  # nobody reads it, or the disk is full: the command runs on


def _now() -> str:
    now = time.time()
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    return f"{whole}.{int(now % 1 * 1e6):06}Z"


def _console(level: str, event: str, fields: dict[str, object]) -> str:
    words = [_now(), f"[{level:<9}]", event, *(f"{key}={value}" for key, value in fields.items())]
    return " ".join(words)


def _json(level: str, event: str, fields: dict[str, object]) -> str:
    from _json import encode_basestring_ascii as quoted

    members = {**fields, "event": event, "level": level, "timestamp": _now()}
    pairs = (
        f"{quoted(key)}:{value if isinstance(value, (int, float)) else quoted(str(value))}"
        for key, value in members.items()
    )
    return f"{{{','.join(pairs)}}}"
