"""The supervisor on a clock that jumps, with processes that are none."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from pyinit.errors import CommandNotFound, NotFound, UsageError
from pyinit.init.life import State
from pyinit.spec.faults import SpecError
from pyinit.spec.service import Backoff
from tests.support.services import FakeProcess, service, stage

pytestmark = pytest.mark.trio
TERM, KILL = int(signal.SIGTERM), int(signal.SIGKILL)


def stubborn(process: FakeProcess) -> None:
    process.stubborn = True


CHAIN = {
    "web": service(requires=("app",)),
    "app": service(requires=("db",), type="oneshot"),
    "db": service(),
    "log": service(before=("db",), type="oneshot"),
}


async def test_services_start_as_those_before_them_are_ready(autojump_clock: MockClock) -> None:
    async with stage(CHAIN) as s:
        await s.start()
        assert s.order("started") == ["log"]
        s.main("log").exit(0)
        await s.settle()
        assert s.order("started") == ["log", "db", "app"]
        assert s.state("web") is State.WAITING
        s.main("app").exit(0)
        await s.settle()
        assert s.states() == {
            "web": "running",
            "app": "completed",
            "db": "running",
            "log": "completed",
        }


async def test_independent_services_start_in_parallel(autojump_clock: MockClock) -> None:
    async with stage({name: service(type="notify") for name in "abc"}) as s:
        await s.start()
        assert sorted(s.order("started")) == ["a", "b", "c"]


async def test_services_stop_in_reverse_order(autojump_clock: MockClock) -> None:
    services = {"a": service(), "b": service(requires=("a",)), "c": service(after=("b",))}
    async with stage(services) as s:
        s.processes.behave["main"] = stubborn
        await s.start()
        s.supervisor.shutdown()
        await s.settle()
        assert s.order("stopping") == ["c"]
        waits = {wait.service: wait for wait in s.supervisor.why()}
        assert waits["b"].on == ("c",)
        assert waits["c"].left == 10
        s.main("c").exit(0)
        await s.settle()
        assert s.order("stopping") == ["c", "b"]
        s.main("b").exit(0)
        await trio.sleep(0)
        await trio.sleep(15)
        assert s.order("killed") == ["a"]
        assert s.exit_status == 0


async def test_a_second_request_cuts_the_grace(autojump_clock: MockClock) -> None:
    services = {"a": service(), "b": service(after=("a",)), "c": service(type="notify")}
    async with stage(services) as s:
        s.processes.behave["main"] = stubborn
        await s.start()
        s.supervisor.hurry()
        await s.settle()
        assert s.state("a") is State.RUNNING
        began = trio.current_time()
        s.supervisor.shutdown()
        s.supervisor.hurry()
        await s.settle()
        assert (s.exit_status, trio.current_time()) == (0, began)


async def test_hurry_reaches_what_is_still_being_spawned(autojump_clock: MockClock) -> None:
    async with stage({"a": service()}) as s:
        s.processes.behave["main"] = stubborn
        s.processes.hold = trio.Event()
        await s.start()
        s.supervisor.shutdown()
        s.supervisor.hurry()
        await s.settle()
        assert s.exit_status is None
        s.processes.hold.set()
        await s.settle()
        assert s.exit_status == 0


async def test_a_service_fails_with_what_it_requires(autojump_clock: MockClock) -> None:
    services = {"a": service(type="oneshot"), "b": service(requires=("a",), essential=True)}
    async with stage(services) as s:
        await s.start()
        s.main("a").exit(3)
        await s.settle()
        assert s.states() == {"a": "failed", "b": "failed"}
        assert s.exit_status == 1
        assert ("failed", "b", {"reason": "it requires a, which is failed", "status": 1}) in s.told


async def test_order_alone_does_not_need_the_other(autojump_clock: MockClock) -> None:
    services = {
        "a": service(restart="always"),
        "b": service(after=("a",)),
        "c": service(wants=("d",)),
        "d": service(startup="disabled"),
    }
    async with stage(services) as s:
        s.processes.errors["a"] = CommandNotFound("a", "no such file")
        await s.start()
        assert s.states() == {"a": "backoff", "b": "running", "c": "running", "d": "running"}


async def test_a_failed_start_is_never_status_0(autojump_clock: MockClock) -> None:
    async with stage({"a": service(on_failure="shutdown")}) as s:
        s.processes.errors["a"] = CommandNotFound("a", "no such file")
        await s.start()
        assert s.exit_status == 127
    async with stage({"a": service()}) as s:
        s.processes.errors["a"] = OSError(11, "Resource temporarily unavailable")
        await s.start()
        assert s.exit_status == 125
    async with stage({"a": service()}) as s:
        s.processes.errors["a"] = KeyError("a bug")
        await s.start()
        assert s.exit_status == 125


async def test_the_container_ends_with_an_essential_service(autojump_clock: MockClock) -> None:
    async with stage({"a": service(essential=True), "b": service()}) as s:
        await s.start()
        s.main("a").exit(7)
        await s.settle()
        assert s.exit_status == 7
        assert s.states() == {"a": "failed", "b": "inactive"}


async def test_the_container_ends_when_all_have_ended(autojump_clock: MockClock) -> None:
    async with stage({"a": service(), "b": service(), "c": service(startup="disabled")}) as s:
        await s.start()
        s.main("a").exit(0)
        await s.settle()
        assert s.exit_status is None
        s.main("b").exit(4)
        await s.settle()
        assert s.exit_status == 4


async def test_failures_that_are_ignored_do_not_count(autojump_clock: MockClock) -> None:
    async with stage({"a": service(on_failure="ignore"), "b": service()}) as s:
        await s.start()
        s.main("a").exit(1)
        await s.settle()
        s.main("b").exit(0)
        await s.settle()
        assert s.exit_status == 0


async def test_a_service_in_a_crash_loop_tells_in_the_exit_status(
    autojump_clock: MockClock,
) -> None:
    async with stage({"a": service(restart="always")}) as s:
        await s.start()
        s.main("a").exit(9)
        await s.settle()
        assert s.state("a") is State.BACKOFF
        s.supervisor.shutdown()
        await s.settle()
        assert s.exit_status == 9


async def test_a_stop_by_hand_does_not_end_the_container(autojump_clock: MockClock) -> None:
    async with stage({"a": service(), "b": service(requires=("a",))}) as s:
        await s.start()
        s.supervisor.stop("a")
        (status,) = await s.supervisor.settle("a")
        assert status.state is State.INACTIVE
        assert s.order("stopped") == ["b", "a"]
        assert s.exit_status is None
        s.supervisor.start("b")
        assert [x.state for x in await s.supervisor.settle("a", "b")] == [State.RUNNING] * 2


async def test_without_exit_when_done_the_container_stays(autojump_clock: MockClock) -> None:
    async with stage({"a": service()}, exit_when_done=False) as s:
        await s.start()
        s.main("a").exit(0)
        await s.settle()
        assert s.exit_status is None
        assert s.supervisor.exit_status == 0


async def test_restarts_back_off(autojump_clock: MockClock) -> None:
    backoff = Backoff(initial=1, factor=2, jitter=0, limit=4)
    async with stage({"a": service(restart="on-failure", backoff=backoff)}) as s:
        s.processes.behave["a"] = lambda process: process.exit(1)
        began = trio.current_time()
        await s.start()
        (wait,) = s.supervisor.why()
        assert (wait.left, wait.what) == (1, "exited with 1; is started again soon")
        await trio.sleep(11.5)
        assert trio.current_time() - began == 11.5
        # At 0, 1, 3, 7 and 11.
        assert len(s.processes.spawned) == 5


async def test_a_restart_starts_the_dependents_not_again(autojump_clock: MockClock) -> None:
    services = {"a": service(), "b": service(requires=("a",)), "once": service(type="oneshot")}
    services["a"] = service(requires=("once",))
    async with stage(services) as s:
        await s.start()
        s.main("once").exit(0)
        await s.settle()
        before = s.main("b").pid
        s.supervisor.restart("a")
        await s.settle()
        assert s.states() == {"a": "running", "b": "running", "once": "completed"}
        assert s.main("b").pid == before
        assert s.order("started") == ["once", "a", "b", "a"]


async def test_a_named_oneshot_runs_again(autojump_clock: MockClock) -> None:
    async with stage({"a": service(type="oneshot"), "b": service()}) as s:
        await s.start()
        s.main("a").exit(0)
        await s.settle()
        await s.start("a")
        assert s.state("a") is State.STARTING


async def test_a_start_during_a_stop_calls_it_off(autojump_clock: MockClock) -> None:
    services = {"a": service(), "b": service(requires=("a",))}
    async with stage(services) as s:
        s.processes.behave["main"] = stubborn
        await s.start()
        s.supervisor.stop("a")
        await s.settle()
        assert s.state("a") is State.RUNNING
        s.supervisor.start("b")
        await s.settle()
        s.main("b").exit(0)
        await s.settle()
        assert s.states() == {"a": "running", "b": "running"}


async def test_what_waits_to_start_is_stopped_at_once(autojump_clock: MockClock) -> None:
    services = {
        "a": service(type="notify"),
        "b": service(requires=("a",)),
        "c": service(restart="always"),
        "d": service(after=("c",)),
    }
    async with stage(services) as s:
        s.processes.behave["d"] = stubborn
        await s.start()
        s.main("c").exit(1)
        await s.settle()
        s.supervisor.shutdown()
        await s.settle()
        assert s.states() == {"a": "inactive", "b": "inactive", "c": "inactive", "d": "stopping"}


async def test_a_service_that_ends_while_it_waits_to_stop_is_not_restarted(
    autojump_clock: MockClock,
) -> None:
    services = {"a": service(restart="always"), "b": service(after=("a",))}
    async with stage(services) as s:
        s.processes.behave["b"] = stubborn
        await s.start()
        s.supervisor.shutdown()
        s.main("a").exit(1)
        await trio.sleep(5)
        assert s.states() == {"a": "inactive", "b": "stopping"}


async def test_what_survives_kill_does_not_hold_up_the_others(autojump_clock: MockClock) -> None:
    def immortal(process: FakeProcess) -> None:
        process.stubborn = process.immortal = True

    async with stage({"a": service(), "b": service(after=("a",))}) as s:
        s.processes.behave["b"] = immortal
        await s.start()
        s.supervisor.shutdown()
        await trio.sleep(30)
        assert s.states() == {"a": "inactive", "b": "stuck"}
        assert s.exit_status == 0


async def test_a_stop_command_runs_before_the_signal(autojump_clock: MockClock) -> None:
    async with stage({"a": service(stop_command=("bye", "now"))}) as s:
        await s.start()
        main = s.main("a")
        s.supervisor.stop("a")
        await s.settle()
        (command,) = [p for p in s.processes.spawned if p.launch.role == "stop-command"]
        assert command.launch.argv == ("bye", "now")
        assert command.launch.environment["MAINPID"] == str(main.pid)
        assert main.signals == []
        command.exit(1)
        await s.settle()
        assert main.signals[0] == TERM
        assert ("stop-command-failed", "a", {"reason": "exited with 1"}) in s.told


async def test_a_stop_command_that_hangs_is_killed_with_the_service(
    autojump_clock: MockClock,
) -> None:
    async with stage({"a": service(stop_command=("bye",), stop_timeout=3.0)}) as s:
        await s.start()
        main = s.main("a")
        s.supervisor.stop("a")
        await trio.sleep(4)
        assert s.processes.alive == {}
        assert KILL in main.signals


async def test_a_stop_command_that_can_not_start_is_no_obstacle(
    autojump_clock: MockClock,
) -> None:
    spec = service(stop_command=("bye",), env_files=("-/nowhere",))
    async with stage({"a": spec}) as s:
        await s.start()
        s.processes.errors["a"] = CommandNotFound("bye", "no such file")
        s.supervisor.stop("a")
        await s.settle()
        assert s.state("a") is State.INACTIVE


async def test_signals_go_where_they_are_sent(autojump_clock: MockClock) -> None:
    async with stage({"a": service()}) as s:
        with pytest.raises(UsageError, match="no process"):
            s.supervisor.signal("a", TERM)
        await s.start()
        s.main("a").stubborn = True
        s.supervisor.signal("a", int(signal.SIGHUP))
        s.supervisor.signal("a", int(signal.SIGUSR1), whole=True)
        assert s.main("a").signals == [signal.SIGHUP, signal.SIGUSR1]


async def test_names_that_are_not_there(autojump_clock: MockClock) -> None:
    async with stage({"a": service()}) as s:
        for call in (s.supervisor.start, s.supervisor.stop, s.supervisor.restart):
            with pytest.raises(NotFound, match="no service b"):
                call("b")
        with pytest.raises(NotFound):
            s.supervisor.status("b")


async def test_enabling_decides_what_start_all_starts(autojump_clock: MockClock) -> None:
    async with stage({"a": service(), "b": service(startup="disabled")}) as s:
        s.supervisor.enable("a", enabled=False)
        s.supervisor.enable("b")
        await s.start()
        assert s.states() == {"a": "inactive", "b": "running"}


async def test_nothing_starts_any_more_at_the_end(autojump_clock: MockClock) -> None:
    async with stage({"a": service(), "b": service()}) as s:
        s.processes.behave["a"] = stubborn
        await s.start("a")
        s.supervisor.shutdown(5)
        s.supervisor.shutdown(6)
        for call in (s.supervisor.start, s.supervisor.restart):
            with pytest.raises(UsageError, match="shutting down"):
                call("b")
        with pytest.raises(UsageError, match="shutting down"):
            s.supervisor.reload({})
        await trio.sleep(20)
        assert s.exit_status == 5


async def test_status_says_what_is_known(autojump_clock: MockClock) -> None:
    async with stage({"a": service(restart="always")}) as s:
        await s.start()
        s.main("a").exit(signal=11)
        await s.settle()
        (status,) = s.supervisor.status()
        assert (status.code, status.signal, status.reason) == (None, 11, "killed by SIGSEGV")
        assert (status.restarts, status.next, status.enabled) == (1, 0.5, True)


async def test_why_names_what_start_up_waits_for(autojump_clock: MockClock) -> None:
    services = {
        "a": service(type="notify"),
        "b": service(requires=("a",)),
        "c": service(type="oneshot"),
    }
    async with stage(services) as s:
        await s.start()
        s.main("a").leftovers = True
        await trio.sleep(30)
        assert [(w.service, w.what, w.on, w.seconds, w.left) for w in s.supervisor.why()] == [
            ("a", "has not said that it is ready", (), 30, 60),
            ("b", "waits for a (starting)", ("a",), 30, None),
            ("c", "has not ended yet", (), 30, None),
        ]
        s.main("a").exit(0)
        await s.settle()
        assert s.supervisor.why()[0].what == "its main process has ended, others of it have not"


async def test_a_reload_touches_only_what_changed(autojump_clock: MockClock) -> None:
    old = {
        "same": service(),
        "moved": service(command=("old",)),
        "tuned": service(),
        "gone": service(),
        "off": service(startup="disabled"),
        "broken": service(command=("nothing",)),
    }
    async with stage(old, exit_when_done=False) as s:
        await s.start()
        s.main("broken").exit(1)
        await s.settle()
        pids = {name: s.main(name).pid for name in ("same", "tuned")}
        new = {
            **{name: spec for name, spec in old.items() if name != "gone"},
            "moved": service(command=("new",)),
            "tuned": service(restart="always"),
            "off": service(startup="disabled", command=("other",)),
            "broken": service(command=("mended",)),
            "new": service(requires=("moved",)),
            "later": service(startup="disabled"),
        }
        change = s.supervisor.reload(new)
        assert (change.added, change.removed) == (("new", "later"), ("gone",))
        assert [(c.name, c.restart) for c in change.changed] == [
            ("moved", True),
            ("tuned", False),
            ("off", True),
            ("broken", True),
        ]
        await s.settle()
        assert s.states() == {
            "same": "running",
            "moved": "running",
            "tuned": "running",
            "off": "inactive",
            "broken": "running",
            "new": "running",
            "later": "inactive",
        }
        assert {name: s.main(name).pid for name in pids} == pids
        assert s.main("moved").launch.argv == ("new",)
        assert s.main("broken").launch.argv == ("mended",)
        assert s.supervisor.services == new
        assert not s.supervisor.reload(new)


async def test_a_bad_reload_changes_nothing(autojump_clock: MockClock) -> None:
    async with stage({"a": service()}) as s:
        await s.start()
        with pytest.raises(SpecError, match="unknown service `b`"):
            s.supervisor.reload({"a": service(requires=("b",))})
        assert s.state("a") is State.RUNNING


async def test_removed_services_stop_in_order_and_may_come_back(
    autojump_clock: MockClock,
) -> None:
    old = {"a": service(), "b": service(after=("a",)), "c": service(after=("b",))}
    async with stage(old) as s:
        s.processes.behave["main"] = stubborn
        await s.start()
        s.supervisor.reload({"c": service()})
        await s.settle()
        assert s.order("stopping") == ["b"]
        assert s.state("c") is State.RUNNING
        with pytest.raises(NotFound):
            s.supervisor.status("b")
        s.supervisor.reload({"c": service(), "b": service(command=("again",))})
        s.main("b").exit(0)
        await s.settle()
        assert s.main("b").launch.argv == ("again",)
        s.main("a").exit(0)
        await s.settle()
        assert "a" not in s.states()


async def test_a_reload_while_spawning_restarts_what_comes_of_it(
    autojump_clock: MockClock,
) -> None:
    async with stage({"a": service(command=("old",))}) as s:
        s.processes.hold = trio.Event()
        await s.start()
        s.supervisor.reload({"a": service(command=("new",))})
        s.processes.hold.set()
        await s.settle()
        assert s.main("a").launch.argv == ("new",)
        assert s.state("a") is State.RUNNING


async def test_a_changed_service_pulls_in_what_it_needs_now(autojump_clock: MockClock) -> None:
    old = {"a": service(essential=True), "b": service(startup="disabled"), "c": service()}
    async with stage(old) as s:
        await s.start()
        s.supervisor.stop("c")
        new = {
            "a": service(essential=True, requires=("b",), command=("new",)),
            "b": service(startup="disabled"),
            "c": service(command=("new",)),
        }
        s.supervisor.reload(new)
        await s.settle()
        assert s.states() == {"a": "running", "b": "running", "c": "inactive"}


async def test_a_reload_frees_what_waited(autojump_clock: MockClock) -> None:
    async with stage({"a": service(type="notify"), "b": service(after=("a",))}) as s:
        await s.start()
        assert s.state("b") is State.WAITING
        s.supervisor.reload({"a": service(type="notify"), "b": service()})
        await s.settle()
        assert s.state("b") is State.RUNNING


async def test_a_reload_during_a_stop_keeps_the_stop(autojump_clock: MockClock) -> None:
    old = {"a": service(), "b": service(requires=("a",))}
    async with stage(old) as s:
        s.processes.behave["main"] = stubborn
        await s.start()
        s.supervisor.stop("a")
        s.supervisor.reload({"a": service(after=("b",)), "b": service()})
        s.main("a").exit(0)
        s.main("b").exit(0)
        await s.settle()
        assert s.states() == {"a": "inactive", "b": "inactive"}


@pytest.mark.parametrize("shape", ["star", "chain", "flat"])
async def test_five_hundred_services(shape: str, autojump_clock: MockClock) -> None:
    names = [f"s{number}" for number in range(500)]
    before: dict[str, Callable[[int], list[str]]] = {
        "star": lambda at: names[:1],
        "chain": lambda at: [names[at - 1]],
    }
    services = {
        name: service(after=tuple(before[shape](at)), restart="always")
        if at and shape in before
        else service(restart="always")
        for at, name in enumerate(names)
    }
    async with stage(services) as s:
        await s.start()
        assert set(s.states().values()) == {"running"}
        for name in names:
            s.main(name).exit(1)
        await trio.sleep(2)
        assert set(s.states().values()) == {"running"}
        s.supervisor.shutdown()
        await s.settle()
        assert s.exit_status == 0
        if shape == "chain":
            assert s.order("stopping") == names[::-1]


async def test_a_restart_storm_is_held_by_the_backoff(autojump_clock: MockClock) -> None:
    services = {f"s{number}": service(restart="always") for number in range(100)}
    async with stage(services) as s:
        s.processes.behave["main"] = lambda process: process.exit(1)
        await s.start()
        await trio.sleep(300)
        # 0.5 + 1 + 2 + 4 + 8 + 16, then every 30 s: 15 starts each, and no more.
        assert len(s.processes.spawned) <= 100 * 16


async def test_idle_services_set_no_timer(autojump_clock: MockClock) -> None:
    async with stage({f"s{number}": service(type="notify") for number in range(20)}) as s:
        await s.start()
        for status in s.supervisor.status():
            assert status.next is not None
        conductor = s.supervisor._conductor
        from pyinit.init import lifecycle_events as ev

        for unit in conductor.units.values():
            conductor.post(unit, ev.Ready())
        await s.settle()
        assert all(status.next is None for status in s.supervisor.status())
        statistics = trio.lowlevel.current_statistics()
        assert statistics.seconds_to_next_deadline == float("inf")
