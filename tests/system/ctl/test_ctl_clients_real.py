"""Both clients against a real init: nothing cut off, many at once, cancelled."""

from __future__ import annotations

import os

import pytest
import trio

from pyinit_ctl import BlockingClient, Client
from tests.support.targets import PATIENCE_S, Target

pytestmark = pytest.mark.root

LINES = b"".join(b"%d\n" % number for number in range(1, 20001))


def test_nothing_is_cut_off_200_times(target: Target) -> None:
    with BlockingClient(target.socket) as client:
        for _ in range(200):
            done = client.run(["seq", "20000"])
            assert (done.returncode, done.stdout) == (0, LINES)


@pytest.mark.trio
async def test_many_at_once_on_one_client(target: Target) -> None:
    found: dict[int, tuple[int, bytes | None]] = {}
    async with Client(target.socket) as client:

        async def one(number: int) -> None:
            done = await client.run(["sh", "-c", f"cat; exit {number}"], input=b"%d" % number)
            found[number] = done.returncode, done.stdout

        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                for number in range(100):
                    nursery.start_soon(one, number)
    assert found == {number: (number, b"%d" % number) for number in range(100)}


@pytest.mark.trio
async def test_cancelling_ends_the_command(target: Target) -> None:
    async with Client(target.socket) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run, ["sleep", "600"])
            with trio.fail_after(PATIENCE_S):
                while not any(each.state == "running" for each in await client.execs()):
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        with trio.fail_after(PATIENCE_S):
            status = await client.wait_exec((await client.execs())[-1].id)
        assert status.signal == 1


@pytest.mark.trio
async def test_leaving_popen_ends_the_command(target: Target) -> None:
    async with Client(target.socket) as client:
        async with client.popen(["cat"]) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            await process.stdin.send_all(b"here")
            assert await process.stdout.receive_some() == b"here"
        with trio.fail_after(PATIENCE_S):
            await client.wait_exec(process.id)


@pytest.mark.trio
async def test_streams_of_popen_end_by_themselves(target: Target) -> None:
    script = "exec >&-; cat >&2; exit 4"
    async with Client(target.socket) as client, client.popen(["sh", "-c", script]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert await process.stdout.receive_some() == b""
        await process.stdin.send_all(b"on")
        assert await process.stderr.receive_some() == b"on"
        await process.stdin.aclose()
        assert await process.stderr.receive_some() == b""
        assert await process.wait() == 4


BUSY = ["sh", "-c", "yes & echo $! >/tmp/busy; exit 3"]


def test_what_goes_on_writing_is_not_waited_for(target: Target) -> None:
    with BlockingClient(target.socket) as client:
        done = client.run(BUSY)
        assert (done.returncode, done.complete) == (3, False)
        # It has lost its reader.
        client.run(["sh", "-c", "while kill -0 $(cat /tmp/busy); do sleep 0.01; done"])


@pytest.mark.trio
async def test_what_goes_on_writing_is_not_waited_for_by_trio(target: Target) -> None:
    async with Client(target.socket) as client:
        with trio.fail_after(PATIENCE_S):
            done = await client.run(BUSY)
            assert (done.returncode, done.complete) == (3, False)
            await client.run(["sh", "-c", "while kill -0 $(cat /tmp/busy); do sleep 0.01; done"])


def test_descriptors_of_ours_are_back_where_they_were(target: Target) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with BlockingClient(target.socket) as client:
        for _ in range(20):
            client.run(["true"])
    assert len(os.listdir("/proc/self/fd")) == before
