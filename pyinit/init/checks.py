"""Health checks: asked again and again while a service is ready."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import trio

from pyinit.errors import PyinitError
from pyinit.init.probes import Unwell
from pyinit.spec.service import Check, CheckAction

Probe = Callable[[], Awaitable[None]]
"""Returns when all is well. Raises Unwell, PyinitError or OSError."""


class CheckStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one check. `healthy` is None until it was asked for the first time.

    `failures` are those in a row that count; `error` is the last one's reason.
    """

    service: str
    name: str
    kind: str
    healthy: bool | None = None
    failures: int
    threshold: int
    action: CheckAction
    error: str


@dataclass(slots=True)
class CheckRecord:
    """One check of one service. A service without a failed check is healthy."""

    service: str
    name: str
    check: Check
    healthy: bool | None = None
    failures: int = 0
    error: str = ""

    def status(self) -> CheckStatus:
        return CheckStatus(
            service=self.service,
            name=self.name,
            kind=kind(self.check),
            healthy=self.healthy,
            failures=self.failures,
            threshold=self.check.threshold,
            action=self.check.action,
            error=self.error,
        )

    def note(self, reason: str | None, *, counts: bool) -> bool:
        """Note a success or why it failed; whether the service's health changes by it."""
        return self._went_well() if reason is None else self._went_wrong(reason, counts=counts)

    def forget(self) -> None:
        """The service runs no more, and is asked for anew when it does."""
        self.healthy, self.failures, self.error = None, 0, ""

    def _went_well(self) -> bool:
        news = self.healthy is False
        self.healthy, self.failures, self.error = True, 0, ""
        return news

    def _went_wrong(self, reason: str, *, counts: bool) -> bool:
        self.error = reason
        if not counts:
            return False
        self.failures += 1
        if self.failures < self.check.threshold or self.healthy is False:
            return False
        self.healthy = False
        return True


def kind(check: Check) -> str:
    """exec, tcp or http."""
    if check.exec:
        return "exec"
    return "tcp" if check.tcp else "http"


async def watch(record: CheckRecord, probe: Probe, report: Callable[[CheckRecord], None]) -> None:
    """Ask every period, until cancelled; `report` is called when the answer changes."""
    check = record.check
    began = trio.current_time()
    while True:
        await trio.sleep(check.period)
        counts = trio.current_time() - began >= check.start_period
        reason = await _ask(probe, check.timeout)
        if record.note(reason, counts=counts):
            report(record)


async def _ask(probe: Probe, timeout: float) -> str | None:
    """Why it failed, or None."""
    try:
        with trio.fail_after(timeout):
            return await _reason(probe)
    except trio.TooSlowError:
        return f"no answer within {timeout:g} s"


async def _reason(probe: Probe) -> str | None:
    try:
        await probe()
    except (Unwell, PyinitError) as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    return None
