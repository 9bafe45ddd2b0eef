"""Asking many containers at once."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from pyinit.errors import PyinitError
from pyinit_ctl import records, registry
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.registry import Target
from pyinit_ctl.results import Container, Usage

# One that does not answer must not keep the others waiting, in seconds.
PATIENCE = 1.0
_AT_ONCE = 16


class Answer(Struct, frozen=True):
    """What a container said of itself and its usage; None and the reason where it did not."""

    name: str
    container: Container | None = None
    usage: Usage | None = None
    reason: str = ""


def running() -> list[Target]:
    """Every container of this user that runs. Raises SystemFault."""
    found = [registry.container(name) for name in registry.names()]
    return [target for target in found if records.is_alive(records.read_state(target))]


def ask(targets: Iterable[Target]) -> list[Answer]:
    """What each of them uses, in their order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_ask, targets))


def _ask(target: Target) -> Answer:
    try:
        with BlockingClient(target) as client:
            client.set_timeout(PATIENCE)
            return Answer(str(target), client.describe(), client.stats())
    except PyinitError as error:
        return Answer(str(target), reason=str(error))
