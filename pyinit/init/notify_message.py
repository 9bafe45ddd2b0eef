"""What a service says through sd_notify(3). Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pyinit.init import lifecycle_events as ev
from pyinit.init.lifecycle_events import Event

# Numbers longer than these mean nothing: pids have 7 digits, 10**15 us are 30 years.
_LONGEST = {"MAINPID": 10, "WATCHDOG_USEC": 15, "EXTEND_TIMEOUT_USEC": 15}


class Message(msgspec.Struct, frozen=True):
    """A datagram, and who sent it; the kernel vouches for the pid (unix(7), SO_PASSCRED)."""

    pid: int
    fields: dict[str, str]


def parse(data: bytes) -> dict[str, str]:
    """The assignments in a datagram. Lines that are none are left out, later ones win."""
    lines = data.decode(errors="replace").split("\n")
    return dict(line.split("=", 1) for line in lines if "=" in line)


def events(fields: dict[str, str]) -> Iterator[Event]:
    """What the assignments mean for the service's life, MAINPID first."""
    if (pid := _number(fields, "MAINPID")) and pid > 1:
        yield ev.NewMain(pid)
    if (period := _number(fields, "WATCHDOG_USEC")) is not None:
        yield ev.WatchdogPeriod(period / 1e6)
    if (more := _number(fields, "EXTEND_TIMEOUT_USEC")) is not None:
        yield ev.Extend(more / 1e6)
    if fields.get("READY") == "1":
        yield ev.Ready()
    if fields.get("WATCHDOG") == "1":
        yield ev.WatchdogPing()
    if fields.get("WATCHDOG") == "trigger":
        yield ev.WatchdogTrigger()


def _number(fields: dict[str, str], key: str) -> int | None:
    text = fields.get(key, "")
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST[key]:
        return None
    return int(text)
