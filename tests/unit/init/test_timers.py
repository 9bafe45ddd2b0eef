from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock

from pyinit.init.timers import Timers


class Ring:
    def __init__(self) -> None:
        self.fired: list[tuple[str, float, float]] = []
        self.timers = Timers(self.fire)

    def fire(self, name: str, deadline: float) -> None:
        self.fired.append((name, deadline, trio.current_time()))


@pytest.mark.trio
async def test_each_deadline_fires_at_its_time(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ring = Ring()
    nursery.start_soon(ring.timers.run)
    ring.timers.arm("b", 5)
    ring.timers.arm("a", 2)
    ring.timers.arm("c", 9)
    ring.timers.arm("c", 3)
    ring.timers.arm("b", 7)
    ring.timers.arm("d", 1)
    ring.timers.disarm("d")
    ring.timers.disarm("nobody")
    await trio.sleep(20)
    assert ring.fired == [("a", 2, 2), ("c", 3, 3), ("b", 7, 7)]


@pytest.mark.trio
async def test_what_is_set_while_it_sleeps_counts(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ring = Ring()
    nursery.start_soon(ring.timers.run)
    await trio.sleep(1)
    ring.timers.arm("a", 10)
    await trio.sleep(1)
    ring.timers.arm("b", 4)
    await trio.sleep(1)
    ring.timers.disarm("b")
    await trio.sleep(20)
    assert ring.fired == [("a", 10, 10)]


@pytest.mark.trio
async def test_a_watchdog_that_is_fed_costs_no_memory(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ring = Ring()
    nursery.start_soon(ring.timers.run)
    for _ in range(10_000):
        ring.timers.arm("a", trio.current_time() + 30)
        await trio.sleep(0.01)
    assert len(ring.timers._heap) <= 2
    await trio.sleep(40)
    assert [name for name, *_ in ring.fired] == ["a"]


@pytest.mark.trio
async def test_any_order_of_arming_gives_the_last_deadline_of_each(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ring, chance = Ring(), random.Random(5)
    last: dict[str, float] = {}
    nursery.start_soon(ring.timers.run)
    for _ in range(2000):
        name = str(chance.randrange(50))
        if chance.random() < 0.2:
            ring.timers.disarm(name)
            last.pop(name, None)
        else:
            last[name] = 1 + chance.random() * 100
            ring.timers.arm(name, last[name])
    await trio.sleep(200)
    assert {name: deadline for name, deadline, _ in ring.fired} == last
    assert all(deadline == at for _, deadline, at in ring.fired)
