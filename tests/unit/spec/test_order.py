from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pyinit.spec.order import cycles, plan, predecessors, reverse, waves
from pyinit.spec.service import Services, ServiceSpec

NAMES = "abcdef"
GRAPHS = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(*[st.lists(st.sampled_from(NAMES), unique=True, max_size=3)] * 3),
)


def services(graph: dict[str, tuple[list[str], list[str], list[str]]]) -> Services:
    return {
        name: ServiceSpec(
            command=("x",), requires=tuple(one), after=tuple(two), before=tuple(three)
        )
        for name, (one, two, three) in graph.items()
    }


def test_waves_wait_for_earlier_ones_only() -> None:
    graph = predecessors(
        services({"web": (["db"], [], []), "db": ([], [], []), "log": ([], [], ["db"])})
    )
    assert waves(graph) == [("log",), ("db",), ("web",)]


@settings(deadline=None)
@given(GRAPHS)
def test_every_service_is_in_one_wave_after_all_it_waits_for_or_there_is_a_cycle(
    graph: dict[str, tuple[list[str], list[str], list[str]]],
) -> None:
    found = predecessors(services(graph))
    order = {name: number for number, wave in enumerate(waves(found)) for name in wave}
    for name, number in order.items():
        assert all(order[other] < number for other in found[name])
    assert (len(order) == len(found)) == (not list(cycles(services(graph))))


@settings(deadline=None)
@given(GRAPHS)
def test_a_cycle_is_a_way_along_the_edges(
    graph: dict[str, tuple[list[str], list[str], list[str]]],
) -> None:
    found = predecessors(services(graph))
    for cycle in cycles(services(graph)):
        for earlier, later in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
            assert earlier in found[later]


@settings(deadline=None)
@given(GRAPHS)
def test_reversing_twice_changes_nothing(
    graph: dict[str, tuple[list[str], list[str], list[str]]],
) -> None:
    found = predecessors(services(graph))
    twice = reverse(reverse(found))
    assert {name: set(others) for name, others in twice.items()} == {
        name: set(others) for name, others in found.items()
    }


def test_ten_thousand_services_in_a_row_take_no_recursion() -> None:
    chain: dict[str, tuple[list[str], list[str], list[str]]] = {
        f"s{number}": ([f"s{number + 1}"] if number < 9_999 else ["s0"], [], [])
        for number in range(10_000)
    }
    (cycle,) = cycles(services(chain))
    assert len(cycle) == 10_000


def test_a_plan_holds_what_is_enabled_and_what_that_pulls_in() -> None:
    command = ("x",)
    found = {
        "web": ServiceSpec(command=command, requires=("db",), wants=("cache",)),
        "db": ServiceSpec(command=command, startup="disabled"),
        "cache": ServiceSpec(command=command, startup="disabled", after=("off",)),
        "off": ServiceSpec(command=command, startup="disabled"),
    }
    assert plan(found) == [("db", "cache"), ("web",)]
