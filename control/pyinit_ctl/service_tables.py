"""Services, checks and differences as people read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from pyinit.spec.signals import signal_name
from pyinit_ctl.output import ago, print_table, span
from pyinit_ctl.service_results import Check, Difference, Service, ServiceChange

_FAILED = frozenset({"failed", "backoff", "stuck"})


def print_services(services: Iterable[Service]) -> None:
    """A table of services."""
    headings = ("NAME", "STATE", "SINCE", "PID", "RESTARTS", "HEALTH", "WHAT")
    print_table(headings, [_row(each) for each in services])


def _row(service: Service) -> tuple[object, ...]:
    return (
        service.name,
        service.state if service.enabled else f"{service.state}, disabled",
        ago(service.since) if service.since else "-",
        "-" if service.pid is None else service.pid,
        service.restarts,
        health(service.healthy),
        what_of(service),
    )


def health(healthy: bool | None) -> str:
    """A check's answer in a word."""
    return "-" if healthy is None else "well" if healthy else "unwell"


def what_of(service: Service) -> str:
    """Why it is where it is, or what it says of itself."""
    if service.waits_for:
        return "waits for " + ", ".join(service.waits_for)
    parts = [service.reason or how_it_ended(service)] if service.state in _FAILED else []
    if service.text:
        parts.append(service.text)
    if service.state == "backoff" and service.next is not None:
        parts.append(f"again in {service.next:.1f} s")
    return "; ".join(part for part in parts if part)


def how_it_ended(service: Service) -> str:
    """The end of the last main process."""
    if service.signal is not None:
        return f"killed by {signal_name(service.signal)}"
    return "" if service.code is None else f"exited with {service.code}"


def print_checks(checks: Iterable[Check]) -> None:
    """A table of health checks."""
    headings = ("SERVICE", "CHECK", "KIND", "HEALTH", "FAILURES", "ACTION", "ERROR")
    rows = [
        (
            each.service,
            each.name,
            each.kind,
            health(each.healthy),
            f"{each.failures} of {each.threshold}",
            each.action,
            each.error,
        )
        for each in checks
    ]
    print_table(headings, rows)


def describe_difference(difference: Difference) -> Iterator[str]:
    """What a reload changes, a line each."""
    yield from (f"+ {name}" for name in difference.added)
    yield from (f"- {name}" for name in difference.removed)
    for change in difference.changed:
        yield from _describe_change(change)
    if not difference:
        yield "nothing changes"


def _describe_change(change: ServiceChange) -> Iterator[str]:
    how = "is restarted" if change.restart else "goes on running"
    yield f"~ {change.name} ({how})"
    for field in change.fields:
        yield f"    {field.field}: {_value(field.old)} -> {_value(field.new)}"


def _value(value: object) -> str:
    return "(default)" if value is None else json.dumps(value)


def seconds(value: float) -> str:
    """A time that may be short."""
    return f"{value:.1f}s" if value < 10 else span(value)
