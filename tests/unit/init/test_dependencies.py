from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from pyinit.init.dependencies import Dependencies, StopOrder, standing
from pyinit.init.life import RESTING, Life, State
from pyinit.spec.service import Backoff, Services
from tests.support.services import FakeProcess, service, stage


@pytest.mark.parametrize(
    ("life", "required", "found"),
    [
        (Life(state=State.RUNNING, goal="up"), True, "ready"),
        (Life(state=State.STARTING, goal="up"), True, "pending"),
        (Life(state=State.STARTING, goal="up"), False, "pending"),
        (Life(state=State.SPAWNING, goal="down"), True, "failed"),
        (Life(state=State.SPAWNING, goal="down"), False, "ready"),
        (Life(state=State.BACKOFF, goal="up"), True, "pending"),
        (Life(state=State.BACKOFF, goal="up"), False, "ready"),
        (Life(state=State.STOPPING, goal="again"), False, "pending"),
        (Life(state=State.STOPPING, goal="down"), True, "failed"),
        (Life(state=State.ENDING, goal="up"), True, "pending"),
        (Life(state=State.FAILED, goal="up"), True, "failed"),
        (Life(state=State.FAILED, goal="up"), False, "ready"),
        (Life(), True, "failed"),
        (Life(), False, "ready"),
        (Life(state=State.COMPLETED, goal="up"), True, "failed"),
        (Life(state=State.COMPLETED, goal="up"), False, "ready"),
    ],
)
def test_how_a_service_looks_to_those_after_it(life: Life, required: bool, found: str) -> None:
    assert standing(service(), life, required=required) == found


def test_a_oneshot_that_has_ended_is_what_was_required() -> None:
    life = Life(state=State.COMPLETED, goal="up")
    assert standing(service(type="oneshot"), life, required=True) == "ready"


def test_what_is_pulled_in_and_dragged_down() -> None:
    services = {
        "a": service(requires=("b",), wants=("c",)),
        "b": service(),
        "c": service(after=("d",)),
        "d": service(),
    }
    found = Dependencies(services)
    assert found.pulled_in(["a"]) == ["a", "b", "c"]
    assert found.dragged_down(["b"]) == ["b", "a"]
    assert (found.requires("a", "b"), found.requires("a", "c")) == (True, False)


NAMES = [f"s{number}" for number in range(6)]
# Edges go from later names to earlier ones, so that there is no cycle.
EDGES = st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=6, max_size=6)


@settings(deadline=None)
@given(EDGES, st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)), st.randoms())
def test_every_service_stops_after_those_after_it(
    edges: list[list[bool]], up: set[str], wanted: set[str], chance: Any
) -> None:
    services = {
        name: service(
            after=tuple(n for n, edge in zip(NAMES[:at], edges[at], strict=False) if edge)
        )
        for at, name in enumerate(NAMES)
    }
    after = Dependencies(services).after
    order, down = StopOrder(), []
    free = order.add(NAMES[:3] if wanted else [], after, up.__contains__)
    free += [n for n in order.add(sorted(wanted), after, up.__contains__) if n not in free]
    expected = up & {*wanted, *(NAMES[:3] if wanted else [])}
    while free:
        name = free.pop(chance.randrange(len(free)))
        down.append(name)
        free += order.release(name)
    assert set(down) == expected
    assert list(order) == []


def fate(data: st.DataObject) -> Any:
    def behave(process: FakeProcess) -> None:
        process.stubborn = data.draw(st.booleans())
        process.leftovers = data.draw(st.booleans())
        if data.draw(st.booleans()):
            process.exit(data.draw(st.integers(0, 1)))

    return behave


SPECS = st.builds(
    service,
    type=st.sampled_from(["simple", "oneshot"]),
    restart=st.sampled_from(["no", "on-failure"]),
    stop_command=st.sampled_from([(), ("bye",)]),
    backoff=st.just(Backoff(attempts=2)),
    essential=st.sampled_from([False, False, True]),
)


@st.composite
def any_services(draw: st.DrawFn) -> Services:
    from msgspec.structs import replace

    found: Services = {}
    for at, name in enumerate(NAMES):
        earlier = st.lists(st.sampled_from(NAMES[:at]), unique=True) if at else st.just([])
        found[name] = replace(
            draw(SPECS), requires=tuple(draw(earlier)), after=tuple(draw(earlier))
        )
    return found


@settings(deadline=None, max_examples=50)
@given(st.data(), any_services())
def test_whatever_they_do_start_up_settles_and_shutdown_ends(
    data: st.DataObject, services: Services
) -> None:
    async def play() -> None:
        async with stage(services, exit_when_done=False) as s:
            s.processes.behave["main"] = fate(data)
            s.processes.behave["stop-command"] = fate(data)
            await s.start()
            for _ in range(data.draw(st.integers(0, 4))):
                name = data.draw(st.sampled_from(NAMES))
                verb = data.draw(st.sampled_from(["start", "stop", "restart", "reload", "wait"]))
                if verb == "wait":
                    await trio.sleep(data.draw(st.floats(0, 20)))
                elif s.exit_status is None and not s.supervisor._ending:
                    if verb == "reload":
                        s.supervisor.reload(data.draw(any_services()))
                    else:
                        getattr(s.supervisor, verb)(name)
                await s.settle()
            await trio.sleep(200)
            assert not [
                wait for wait in s.supervisor.why() if wait.state is State.WAITING and not wait.on
            ]
            s.supervisor.shutdown()
            await trio.sleep(1000)
            assert s.exit_status is not None
            assert set(s.states().values()) <= {str(x) for x in RESTING}
            assert s.processes.alive == {}

    trio.run(play, clock=MockClock(autojump_threshold=0))
