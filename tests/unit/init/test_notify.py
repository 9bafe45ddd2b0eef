"""Services that speak for themselves: this process plays their main process."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from pyinit.init import lifecycle_events as ev
from pyinit.init.life import State
from pyinit.init.notify import NotifySocket
from pyinit.init.notify_message import Message, events, parse
from tests.support.services import Stage, service, stage


@asynccontextmanager
async def speaking(tmp_path: Path, **fields: Any) -> AsyncIterator[Stage]:
    """A notify service whose main process is this one."""
    spec = service(**{"type": "notify", **fields})
    async with stage({"a": spec}, notify_folder=str(tmp_path / "notify")) as s:
        s.processes.next_pid = os.getpid() - 1
        await s.start()
        yield s


async def say(s: Stage, text: str) -> None:
    path = s.processes.spawned[-1].launch.environment["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(text.encode(), path)
    await s.settle()


@pytest.mark.trio
async def test_a_service_says_that_it_is_ready(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with speaking(tmp_path) as s:
        assert s.state("a") is State.STARTING
        await say(s, "STATUS=warming \x1b[31mup\nX\nREADY=1\n")
        (status,) = s.supervisor.status("a")
        assert (status.state, status.text) == (State.RUNNING, "warming  [31mup")
        path = s.main("a").launch.environment["NOTIFY_SOCKET"]
        assert os.stat(path).st_mode & 0o777 == 0o666
        s.supervisor.stop("a")
        await s.settle()
        assert not os.path.exists(path)


@pytest.mark.trio
async def test_strangers_are_not_believed(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with speaking(tmp_path) as s:
        s.main("a").pid = 5
        conductor = s.supervisor._conductor
        conductor.post(conductor.units["a"], ev.NewMain(5))
        await say(s, "READY=1")
        assert s.state("a") is State.STARTING


@pytest.mark.trio
async def test_others_of_the_service_may_speak_where_all_may(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with speaking(tmp_path, notify_access="all") as s:
        s.main("a").family = {5}
        await say(s, "MAINPID=5")
        assert [p.pid for p in s.processes.mains("a")] == [5]
        await say(s, "READY=1")
        assert s.state("a") is State.STARTING
        s.main("a").family.add(os.getpid())
        await say(s, "READY=1")
        assert s.state("a") is State.RUNNING


@pytest.mark.trio
async def test_another_main_process_takes_over(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with speaking(tmp_path) as s:
        old = s.main("a")
        old.family.add(7)
        await say(s, f"READY=1\nMAINPID={os.getpid()}")
        await say(s, "MAINPID=9")
        assert s.supervisor.status("a")[0].pid == os.getpid()
        await say(s, "MAINPID=7")
        old.exit(3)
        await s.settle()
        assert (s.state("a"), s.supervisor.status("a")[0].pid) == (State.RUNNING, 7)
        s.main("a").exit(0)
        await s.settle()
        assert s.state("a") is State.COMPLETED


@pytest.mark.trio
async def test_what_it_said_before_it_ended_counts(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with speaking(tmp_path) as s:
        old = s.main("a")
        old.family.add(7)
        path = old.launch.environment["NOTIFY_SOCKET"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"MAINPID=7\nREADY=1", path)
        old.exit(0)
        await s.settle()
        assert (s.state("a"), s.supervisor.status("a")[0].pid) == (State.RUNNING, 7)


@pytest.mark.trio
async def test_a_main_process_that_can_not_be_followed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with speaking(tmp_path) as s:
        conductor = s.supervisor._conductor
        conductor.post(conductor.units["a"], ev.NewMain(-1))
        assert s.order("mainpid-refused") == ["a"]


@pytest.mark.trio
async def test_a_watchdog_is_fed_or_bites(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with speaking(tmp_path, watchdog=4.0, restart="on-failure") as s:
        assert s.main("a").launch.environment["WATCHDOG_USEC"] == "4000000"
        await say(s, "READY=1")
        for _ in range(5):
            await trio.sleep(3)
            await say(s, "WATCHDOG=1")
        assert s.state("a") is State.RUNNING
        await trio.sleep(4.1)
        assert s.state("a") is State.BACKOFF


@pytest.mark.trio
async def test_more_time_to_start(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with speaking(tmp_path, start_timeout=5.0) as s:
        await say(s, "EXTEND_TIMEOUT_USEC=20000000")
        await trio.sleep(15)
        assert s.state("a") is State.STARTING
        await say(s, "RELOADING=1\nSTOPPING=1")
        assert s.order("reloading", "stopping") == ["a", "a"]
        await trio.sleep(10)
        assert s.state("a") is State.FAILED


@pytest.mark.trio
async def test_words_of_an_earlier_run_do_not_count(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with speaking(tmp_path, restart="always") as s:
        path = s.main("a").launch.environment["NOTIFY_SOCKET"]
        s.main("a").exit(1)
        await s.settle()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"READY=1", path)
        s.processes.next_pid = os.getpid() - 1
        await trio.sleep(1)
        assert s.state("a") is State.STARTING


@pytest.mark.trio
async def test_a_folder_that_can_not_be_made_fails_the_start(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    (tmp_path / "notify").write_text("")
    async with speaking(tmp_path) as s:
        assert s.state("a") is State.FAILED
        assert "NOTIFY_SOCKET" in s.supervisor.status("a")[0].reason


@pytest.mark.trio
async def test_the_descriptor_of_s6(autojump_clock: MockClock) -> None:
    async with stage({"a": service(type="notify", notify_fd=5)}) as s:
        ends: list[int] = []
        s.processes.behave["a"] = lambda p: ends.append(os.dup(p.launch.descriptors[5]))
        await s.start()
        assert "NOTIFY_SOCKET" not in s.main("a").launch.environment
        os.write(ends[0], b"not yet")
        await s.settle()
        assert s.state("a") is State.STARTING
        os.write(ends[0], b"\n")
        await s.settle()
        assert s.state("a") is State.RUNNING
        os.close(ends[0])


@pytest.mark.trio
async def test_the_descriptor_closed_without_a_word_is_no_readiness(
    autojump_clock: MockClock,
) -> None:
    async with stage({"a": service(type="notify", notify_fd=5, start_timeout=3.0)}) as s:
        before = len(os.listdir("/proc/self/fd"))
        await s.start()
        assert s.state("a") is State.STARTING
        await trio.sleep(4)
        assert s.state("a") is State.FAILED
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.trio
async def test_a_pipe_is_closed_when_the_start_fails(autojump_clock: MockClock) -> None:
    async with stage({"a": service(type="notify", notify_fd=5)}) as s:
        before = len(os.listdir("/proc/self/fd"))
        s.processes.errors["a"] = OSError(12, "Cannot allocate memory")
        await s.start()
        assert s.supervisor.status("a")[0].reason == "spawn: Cannot allocate memory"
        assert len(os.listdir("/proc/self/fd")) == before


def test_descriptors_that_come_along_are_closed(tmp_path: Path) -> None:
    heard: list[Message] = []
    notify = NotifySocket(str(tmp_path / "n"))
    before = len(os.listdir("/proc/self/fd"))
    read, write = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(notify.path)
        socket.send_fds(client, [b"BARRIER=1"], [write])
    os.close(write)
    notify.drain(heard.append)
    assert os.read(read, 1) == b""
    os.close(read)
    assert heard == [Message(os.getpid(), {"BARRIER": "1"})]
    assert len(os.listdir("/proc/self/fd")) == before
    notify.close()


def test_a_folder_that_is_not_there_leaves_nothing_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="No such file"):
        NotifySocket(str(tmp_path / "x" / "n"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_flood_is_taken_in_portions(tmp_path: Path) -> None:
    heard: list[Message] = []
    notify = NotifySocket(str(tmp_path / "n"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(notify.path)
        client.setblocking(False)
        sent = 0
        while sent < 200:
            try:
                client.send(b"READY=1")
            except BlockingIOError:
                break
            sent += 1
    while (before := len(heard)) < sent:
        notify.drain(heard.append)
        assert 0 < len(heard) - before <= 64
    notify.close()


def test_the_pid_of_a_message_is_the_kernels(tmp_path: Path) -> None:
    heard: list[Message] = []
    notify = NotifySocket(str(tmp_path / "n"))
    child = os.fork()
    if not child:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"READY=1", notify.path)
        os._exit(0)
    os.waitpid(child, 0)
    notify.drain(heard.append)
    assert [message.pid for message in heard] == [child]
    notify.close()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_datagram_breaks_anything(data: bytes) -> None:
    list(events(parse(data)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MAINPID=12\nREADY=1", [ev.NewMain(12), ev.Ready()]),
        ("MAINPID=1", []),
        ("MAINPID=99999999999999", []),
        ("MAINPID=-4", []),
        ("READY=0", []),
        ("WATCHDOG=1", [ev.WatchdogPing()]),
        ("WATCHDOG=trigger", [ev.WatchdogTrigger()]),
        ("WATCHDOG_USEC=1500000", [ev.WatchdogPeriod(1.5)]),
        ("EXTEND_TIMEOUT_USEC=\u0661", []),
        ("EXTEND_TIMEOUT_USEC=500000", [ev.Extend(0.5)]),
    ],
)
def test_what_messages_mean(text: str, found: list[ev.Event]) -> None:
    assert list(events(parse(text.encode()))) == found
