"""Which service waits for which, before anything runs: edges, cycles, waves.

Every algorithm here is linear in services and edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pyinit.spec.service import Services

Graph = dict[str, tuple[str, ...]]
"""For each service those that it comes after; only names that are in the graph."""


def predecessors(services: Services) -> Graph:
    """For each service those that have to be ready, or to have given up, before it starts.

    `requires` and `after` of its own, and the `before` of others.
    """
    edges: dict[str, dict[str, None]] = {
        name: dict.fromkeys((*spec.requires, *spec.after)) for name, spec in services.items()
    }
    for name, spec in services.items():
        for later in spec.before:
            if later in edges:
                edges[later][name] = None
    return {
        name: tuple(other for other in found if other in services and other != name)
        for name, found in edges.items()
    }


def reverse(graph: Graph) -> Graph:
    """The graph with every edge turned round."""
    turned: dict[str, list[str]] = {name: [] for name in graph}
    for name, others in graph.items():
        for other in others:
            turned[other].append(name)
    return {name: tuple(others) for name, others in turned.items()}


def waves(graph: Graph) -> list[tuple[str, ...]]:
    """The order of start: each wave waits for earlier ones only. Services in a cycle, and
    those that wait for one, are in none."""
    missing = {name: len(others) for name, others in graph.items()}
    later = reverse(graph)
    wave = tuple(name for name, count in missing.items() if not count)
    found = []
    while wave:
        found.append(wave)
        following = []
        for name in wave:
            for other in later[name]:
                missing[other] -= 1
                if not missing[other]:
                    following.append(other)
        wave = tuple(following)
    return found


def pulled_in(services: Services, names: Iterable[str]) -> list[str]:
    """`names` and all that they require or want, and so on."""
    return closure(names, lambda name: (*services[name].requires, *services[name].wants))


def plan(services: Services) -> list[tuple[str, ...]]:
    """What a start of all that is enabled starts, in waves: each waits for earlier ones only.

    The services are taken to be valid: see `pyinit.spec.rules.require_valid`.
    """
    enabled = (name for name, spec in services.items() if spec.startup == "enabled")
    started = set(pulled_in(services, enabled))
    return waves(predecessors({name: services[name] for name in services if name in started}))


def closure(names: Iterable[str], following: Callable[[str], Iterable[str]]) -> list[str]:
    """`names`, what `following` gives for them, and so on, each once."""
    found = dict.fromkeys(names)
    todo = list(found)
    while todo:
        for other in following(todo.pop()):
            if other not in found:
                found[other] = None
                todo.append(other)
    return list(found)


def cycles(services: Services) -> Iterator[tuple[str, ...]]:
    """One cycle for each knot of services that wait for each other, as a path."""
    graph = predecessors(services)
    placed = {name for wave in waves(graph) for name in wave}
    seen = set(placed)
    for start in graph:
        way: dict[str, None] = {}
        name: str | None = start
        while name is not None and name not in seen:
            seen.add(name)
            way[name] = None
            # Whatever is in no wave waits for something that is in no wave either.
            name = next(other for other in graph[name] if other not in placed)
        if name in way:
            path = tuple(way)
            yield tuple(reversed(path[path.index(name) :]))
