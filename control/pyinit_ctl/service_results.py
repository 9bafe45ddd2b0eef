"""What an init says about services: the types of io.pyinit.Control, checked as they come in."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Service(Struct, frozen=True, kw_only=True):
    """A service. `since` in seconds since 1970; `next` in seconds from now."""

    name: str
    type: str
    state: str
    enabled: bool
    since: float
    restarts: int
    reason: str
    text: str
    waits_for: list[str]
    pid: int | None = None
    code: int | None = None
    signal: int | None = None
    next: float | None = None
    healthy: bool | None = None


class Check(Struct, frozen=True, kw_only=True):
    """A health check of a service; `failures` are those in a row."""

    service: str
    name: str
    kind: str
    failures: int
    threshold: int
    action: str
    error: str
    healthy: bool | None = None


class Awaited(Struct, frozen=True, kw_only=True):
    """What start-up or shutdown waits for; an empty service stands for the container itself."""

    service: str
    state: str
    what: str
    on: list[str]
    seconds: float
    left: float | None = None


class FieldChange(Struct, frozen=True):
    """A setting that differs."""

    field: str
    old: Any = None
    new: Any = None


class ServiceChange(Struct, frozen=True):
    """A service that differs, and whether that takes a restart."""

    name: str
    fields: list[FieldChange]
    restart: bool


class Difference(Struct, frozen=True):
    """What a reload changes."""

    added: list[str]
    removed: list[str]
    changed: list[ServiceChange]
    unchanged: list[str]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)
