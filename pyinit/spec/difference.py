"""What a reload changes: which services come, go, start again, or only take new settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from pyinit.spec.service import Services, ServiceSpec

# What the supervisor reads when it needs it. All else shaped the process when it was
# started, so that a change of it takes a restart.
_TAKEN_WHILE_RUNNING = frozenset(
    {
        "after",
        "backoff",
        "before",
        "checks",
        "essential",
        "extend-limit",
        "on-failure",
        "on-success",
        "requires",
        "restart",
        "start-timeout",
        "startup",
        "stop-command",
        "stop-signal",
        "stop-timeout",
        "success-exit-codes",
        "wants",
    }
)


class FieldChange(msgspec.Struct, frozen=True):
    """One value that differs. `field` is its dotted path; the values are JSON-like, None
    where the one side leaves the default."""

    field: str
    old: Any = None
    new: Any = None


class ServiceChange(msgspec.Struct, frozen=True):
    """What differs in one service, and whether it takes a restart."""

    name: str
    fields: tuple[FieldChange, ...]
    restart: bool


class Difference(msgspec.Struct, frozen=True):
    """Names in the order of the files they come from."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[ServiceChange, ...] = ()
    unchanged: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def difference(old: Services, new: Services) -> Difference:
    """What has to happen for `old` to become `new`."""
    both = [name for name in new if name in old]
    changes = {name: changed_fields(old[name], new[name]) for name in both}
    return Difference(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(
            ServiceChange(name, fields, _needs_restart(fields))
            for name, fields in changes.items()
            if fields
        ),
        unchanged=tuple(name for name in both if not changes[name]),
    )


def changed_fields(old: ServiceSpec, new: ServiceSpec) -> tuple[FieldChange, ...]:
    """Every value that differs between the two, nested tables by their keys."""
    if old == new:
        return ()
    return tuple(_differing("", msgspec.to_builtins(old), msgspec.to_builtins(new)))


def _differing(path: str, old: object, new: object) -> Iterator[FieldChange]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            deeper = f"{path}.{key}" if path else key
            yield from _differing(deeper, old.get(key), new.get(key))
    elif old != new:
        yield FieldChange(path, old, new)


def _needs_restart(fields: tuple[FieldChange, ...]) -> bool:
    return any(change.field.partition(".")[0] not in _TAKEN_WHILE_RUNNING for change in fields)
