"""init's own log: structlog, JSON to a file, console form on a terminal.

The descriptor was opened before the pivot. A disk that is full must not stop PID 1, so a
line that can't be written is dropped.
"""

from __future__ import annotations

import os

import msgspec
import structlog

_encoder = msgspec.json.Encoder(enc_hook=repr)

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class DescriptorLogger:
    """What structlog calls with each finished line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def msg(self, line: str | bytes) -> None:
        data = line.encode(errors="replace") if isinstance(line, str) else line
        try:
            os.write(self._descriptor, data + b"\n")
        except OSError:
            return

    log = debug = info = warning = warn = error = critical = fatal = exception = failure = msg


def configure(descriptor: int | None, level: str = "info", form: str = "auto") -> None:
    """Send init's log to the descriptor; None is standard error. A terminal gets colours.

    `form` is console, json or auto: console on a terminal, JSON elsewhere.
    """
    descriptor = 2 if descriptor is None else descriptor
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = os.isatty(descriptor)
    if form == "console" or (form == "auto" and terminal):
        plain = structlog.dev.plain_traceback
        shared.append(structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=plain))
    else:
        shared += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ]
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: DescriptorLogger(descriptor),
        cache_logger_on_first_use=True,
    )


def _to_json(event: dict[str, object], **_options: object) -> str:
    return _encoder.encode(event).decode()
