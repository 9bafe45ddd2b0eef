"""Events as they are told: in order, from any thread, and ten thousand orphans in a few."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing

from pyinit.init.api.events import event_of
from pyinit.init.command import Command, Environment
from pyinit.init.events import Events, ended, shortened
from pyinit.init.execs import Exec
from pyinit.init.users import User
from pyinit.spec.status import ExitStatus


def told(events: Events) -> list[tuple[str, str]]:
    return [(entry[1], entry[2]) for _, entry in events.ring.after(0, 10_000)[0]]


def an_exec(identity: str = "e1") -> Exec:
    user = User(uid=7, gid=7, name="", home="/", shell="/bin/sh", groups=())
    command = Command(
        argv=("true",), environment=Environment(), workdir="/", user=user, stdio=(0, 0, 0)
    )
    exec_ = Exec(identity, command, (), 0, 1.0)
    exec_.child.pid = 42
    return exec_


@pytest.mark.trio
async def test_who_waits_is_woken_by_what_comes_next() -> None:
    events = Events()
    events.tell("ready")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(events.news, 1)
        await trio.testing.wait_all_tasks_blocked()
        thread = threading.Thread(target=events.tell, args=("started", "main"))
        thread.start()
    thread.join()
    await events.news(1)  # what happened before the wait counts
    assert told(events) == [("ready", ""), ("started", "main")]


@pytest.mark.trio
async def test_an_exec_begins_before_it_ends_whoever_tells_first() -> None:
    events = Events()
    one, other = an_exec("one"), an_exec("other")
    events.exec_begun(one)
    events.exec_ended(one)
    events.exec_ended(other)
    events.exec_begun(other)
    assert told(events) == [
        ("exec-begun", "one"),
        ("exec-ended", "one"),
        ("exec-begun", "other"),
        ("exec-ended", "other"),
    ]


@pytest.mark.trio
async def test_details_are_put_together_when_they_are_read() -> None:
    events = Events()
    exec_ = an_exec()
    events.exec_begun(exec_)
    exec_.child.status = ExitStatus(signal=9)
    exec_.ended = exec_.started + 1.5
    events.exec_ended(exec_)
    begin, end = (event_of(number, entry) for number, entry in events.ring.after(0, 10)[0])
    assert begin.details == {"argv": ("true",), "user": "7", "pid": 42, "peer_uid": 0}
    assert end.details == {"signal": 9, "timed_out": False, "seconds": 1.5}
    assert (begin.number, end.number) == (1, 2)


@pytest.mark.trio
async def test_orphans_reaped_in_one_go_are_one_event() -> None:
    events = Events()
    for pid in range(10_000):
        events.orphan_reaped(pid, ExitStatus(code=0))
    await trio.testing.wait_all_tasks_blocked()
    events.orphan_reaped(5, ExitStatus(code=1))
    await trio.testing.wait_all_tasks_blocked()
    many, one = (event_of(number, entry).details for number, entry in events.ring.after(0, 10)[0])
    assert many["count"] == 10_000
    assert many["orphans"][0] == {"pid": 0, "code": 0}
    assert len(many["orphans"]) == 8
    assert one == {"count": 1, "orphans": [{"pid": 5, "code": 1}]}


def test_commands_are_shortened() -> None:
    assert shortened(("a", "b")) == ("a", "b")
    assert shortened(("a" * 2000, "b")) == ["a" * 1000 + "…", "…"]
    assert sum(map(len, shortened(["ab"] * 5000))) < 1100


def test_a_status_that_is_not_known() -> None:
    assert ended(None) == {}
