"""What a service waits for, on its way up and on its way down. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from pyinit.init.life import COMING_UP, Life, State
from pyinit.spec import order
from pyinit.spec.order import Graph, closure, predecessors, reverse
from pyinit.spec.service import Services, ServiceSpec

Standing = Literal["ready", "pending", "failed"]


def standing(spec: ServiceSpec, life: Life, *, required: bool) -> Standing:
    """How the service that `spec` and `life` belong to looks to one that comes after it.

    Order alone waits until it is ready or has given up for the first time. What is
    required is waited for through its restarts, and has failed when it will not be there.
    """
    if life.state is State.RUNNING:
        return "ready"
    if life.state is State.COMPLETED:
        return "ready" if spec.type == "oneshot" or not required else "failed"
    if life.goal == "again" or (life.state in COMING_UP and life.goal == "up"):
        return "pending"
    if not required:
        return "ready"
    # Down for a moment: it is to be restarted, or may be once it has ended.
    return "pending" if life.goal == "up" and life.state is not State.FAILED else "failed"


class Dependencies:
    """The edges between services, looked up in both directions."""

    def __init__(self, services: Services) -> None:
        self.before: Graph = predecessors(services)
        self.after: Graph = reverse(self.before)
        self._requires = {name: frozenset(spec.requires) for name, spec in services.items()}
        self._services = services
        self._required_by = reverse(
            {name: tuple(known & services.keys()) for name, known in self._requires.items()}
        )

    def requires(self, name: str, other: str) -> bool:
        return other in self._requires[name]

    def pulled_in(self, names: Iterable[str]) -> list[str]:
        """`names` and all that they require or want, and so on."""
        return order.pulled_in(self._services, names)

    def dragged_down(self, names: Iterable[str]) -> list[str]:
        """`names` and all that require them, and so on."""
        return closure(names, lambda name: self._required_by.get(name, ()))


class StopOrder:
    """Services that shall stop, each after those that come after it.

    A service is held back while one of its successors, among those that shall stop as
    well, is still up.
    """

    def __init__(self) -> None:
        self._held: dict[str, set[str]] = {}
        self._holds: dict[str, set[str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def held_by(self, name: str) -> frozenset[str]:
        """Those that have to be down before `name` may stop."""
        return frozenset(self._held.get(name, ()))

    def add(self, names: Iterable[str], after: Graph, is_up: Callable[[str], bool]) -> list[str]:
        """`names` shall stop; returns those that may do so now."""
        wanted = [name for name in names if is_up(name)]
        stopping = {*wanted, *self._held}
        for name in wanted:
            held = {other for other in after.get(name, ()) if other in stopping and is_up(other)}
            self._held.setdefault(name, set()).update(held)
            for other in held:
                self._holds.setdefault(other, set()).add(name)
        return [name for name in wanted if not self._held[name]]

    def release(self, name: str) -> list[str]:
        """`name` is down, or shall stay up after all; returns those that may stop now."""
        for other in self._held.pop(name, ()):
            self._holds[other].discard(name)
        free = []
        for other in self._holds.pop(name, ()):
            self._held[other].discard(name)
            if not self._held[other]:
                free.append(other)
        return free
