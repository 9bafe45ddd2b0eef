"""init's own log: structlog, JSON to a file, console form on a terminal.

The descriptor was opened before the pivot. A disk that is full or hangs, or a reader who does
not read, must not stop PID 1: a thread writes, and what can't be written is dropped.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import suppress

import msgspec
import structlog

from pyinit.init.threads import start_thread

_encoder = msgspec.json.Encoder(enc_hook=repr)

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


# So many lines wait for the thread at the most.
KEPT = 4096
# How long the thread lets lines gather, in seconds: to wake it for each would slow execs down.
PAUSE = 0.02


class Journal:
    """Where lines go: to the descriptor at once, and from `start` on by way of a thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._hurry = threading.Lock()
        self._dropped = 0
        self._counting = threading.Lock()

    def put(self, line: bytes) -> None:
        """Take in a line with its end. Never blocks once the thread is there; from any thread."""
        if self._thread is None or self._thread.ident == threading.get_ident():
            self._write(line)  # the thread's own is what it has to say of lines that were dropped
        elif self._lines.qsize() < KEPT:
            self._lines.put(line)
        else:
            with self._counting:
                self._dropped += 1

    def start(self) -> None:
        """From now on the thread writes; where none can be made, `put` goes on doing it."""
        self._hurry.acquire()
        with suppress(RuntimeError):
            self._thread = start_thread(self._work, "journal")

    def finish(self, seconds: float) -> None:
        """Return once all is written, or that time is over."""
        thread = self._thread
        if thread is not None:
            self._lines.put(None)
            self._hurry.release()
            thread.join(seconds)

    def _work(self) -> None:
        going_on = True
        while going_on:
            lines = [self._lines.get()]
            if lines[0] is not None and self._hurry.acquire(timeout=PAUSE):
                self._hurry.release()
            with suppress(queue.Empty):
                while lines[-1] is not None:
                    lines.append(self._lines.get_nowait())
            self._write(b"".join(filter(None, lines)))
            going_on = lines[-1] is not None
            if not going_on:
                self._thread = None  # what is still said goes there at once
            with self._counting:
                dropped, self._dropped = self._dropped, 0
            if dropped:
                structlog.get_logger("init").warning("log lines dropped", count=dropped)

    def _write(self, data: bytes) -> None:
        with suppress(OSError):
            os.write(self._descriptor, data)


class DescriptorLogger:
    """What structlog calls with each finished line."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def msg(self, line: str | bytes) -> None:
        data = line.encode(errors="replace") if isinstance(line, str) else line
        self._journal.put(data + b"\n")

    log = debug = info = warning = warn = error = critical = fatal = exception = failure = msg


def configure(descriptor: int | None, level: str = "info", form: str = "auto") -> Journal:
    """Send init's log to the descriptor; None is standard error. A terminal gets colours.

    Returns what writes it. `form` is console, json or auto: console on a terminal, JSON elsewhere.
    """
    descriptor = 2 if descriptor is None else descriptor
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    journal = Journal(descriptor)
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
        logger_factory=lambda *_: DescriptorLogger(journal),
        cache_logger_on_first_use=True,
    )
    return journal


def _to_json(event: dict[str, object], **_options: object) -> str:
    return _encoder.encode(event).decode()
