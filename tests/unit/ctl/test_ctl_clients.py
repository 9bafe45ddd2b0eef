"""The trio client and the blocking one, against a server that really starts commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from pyinit.errors import (
    CommandNotFound,
    ConnectionLost,
    NotFound,
    ProtocolError,
    Unsupported,
    UsageError,
)
from pyinit.varlink.envelope import Call
from pyinit_ctl import (
    DEVNULL,
    STDOUT,
    BlockingClient,
    Client,
    CompletedExec,
    ExecFailed,
    ExecTimedOut,
)
from tests.support.ctl import ROOT, environment
from tests.support.toy_server import (
    Conversation,
    ToyServer,
    answering,
    container_info,
    hang_up,
    process_info,
    usage,
)


class Either:
    """One face for both clients: each test of what they share runs with both."""

    def __init__(self, kind: type[BlockingClient | Client]) -> None:
        self.kind = kind

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        def call(*arguments: object, **named: object) -> object:
            if self.kind is BlockingClient:
                with BlockingClient("web") as client:
                    return getattr(client, name)(*arguments, **named)

            async def alone() -> object:
                async with Client("web") as client:
                    return await getattr(client, name)(*arguments, **named)

            return trio.run(alone)

        return call


@pytest.fixture(params=[BlockingClient, Client])
def client(request: pytest.FixtureRequest, server: ToyServer) -> Either:
    return Either(request.param)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_run_captures(client: Either) -> None:
    done = client.run(["sh", "-c", "cat; echo err >&2; exit 3"], input=b"text")
    assert done == CompletedExec(["sh", "-c", "cat; echo err >&2; exit 3"], 3, b"text", b"err\n")
    with pytest.raises(ExecFailed, match="sh ended with exit status 3"):
        done.check()


def test_run_without_capture(client: Either) -> None:
    done = client.run(["echo"], stdout=DEVNULL, stderr=DEVNULL)
    assert (done.returncode, done.stdout, done.stderr) == (0, None, None)


def test_run_with_both_outputs_in_one(client: Either) -> None:
    done = client.run(["sh", "-c", "echo a; echo b >&2; echo c"], stderr=STDOUT)
    assert (done.stdout, done.stderr) == (b"a\nb\nc\n", None)


def test_run_with_a_pipe_of_our_own(client: Either) -> None:
    reading, writing = os.pipe()
    done = client.run(["echo", "x"], stdout=writing)
    os.close(writing)
    assert (os.read(reading, 10), done.stdout) == (b"x\n", None)
    os.close(reading)


def test_much_in_and_out(client: Either) -> None:
    content = os.urandom(2_000_000)
    assert client.run(["cat"], input=content).stdout == content


def test_input_that_nobody_reads(client: Either) -> None:
    assert client.run(["true"], input=b"x" * 1_000_000).returncode == 0


def test_a_signal_is_negative(client: Either) -> None:
    assert client.run(["sh", "-c", "kill -TERM $$"]).returncode == -signal.SIGTERM


def test_check(client: Either) -> None:
    with pytest.raises(ExecFailed) as caught:
        client.run(["sh", "-c", "echo why; exit 1"], check=True)
    assert caught.value.completed.stdout == b"why\n"


def test_timeout(client: Either) -> None:
    with pytest.raises(ExecTimedOut) as caught:
        client.run(["sh", "-c", "echo begun; exec sleep 60"], timeout=0.2)
    assert caught.value.completed.stdout == b"begun\n"


def test_what_is_left_behind_is_not_waited_for(client: Either, server: ToyServer) -> None:
    done = client.run(["sh", "-c", "sleep 60 & echo x"])
    assert (done.stdout, done.complete) == (b"x\n", False)


def test_options(client: Either, server: ToyServer, tmp_path: Path) -> None:
    done = client.run(["sh", "-c", "pwd; echo $A"], env={"A": "1"}, cwd=str(tmp_path), umask=0o27)
    assert done.stdout == f"{tmp_path}\n1\n".encode()
    assert server.calls[0].parameters["command"]["umask"] == 0o27


def test_errors_are_of_the_tree(client: Either) -> None:
    with pytest.raises(CommandNotFound):
        client.run(["no-such-command"])
    with pytest.raises(Unsupported, match="no method"):
        client.call("Nope")
    with pytest.raises(UsageError, match="list of words"):
        client.run("echo x")
    with (
        open("/etc/passwd", "rb") as file,
        pytest.raises(UsageError, match="must be a pipe or a socket"),
    ):
        client.run(["true"], stdin=file)


def test_typed_answers(client: Either, server: ToyServer) -> None:
    server.handlers["Describe"] = answering(container_info(unknown="to us"))
    server.handlers["Stats"] = answering(usage())
    server.handlers["ListProcesses"] = answering({"processes": [process_info()]})
    assert client.describe().hostname == "web"
    assert client.stats().interfaces[0].name == "eth0"
    assert client.processes()[0].pid == 1
    assert client.execs() == []
    server.handlers["Stats"] = answering(usage(cpu="all"))
    with pytest.raises(ProtocolError):
        client.stats()


def test_a_connection_that_is_lost(client: Either, server: ToyServer) -> None:
    def lose(conversation: Conversation, call: Call) -> None:
        hang_up(conversation)

    server.handlers["Exec"] = lose
    with pytest.raises(ConnectionLost):
        client.run(["true"])


def test_no_descriptor_is_left(client: Either, server: ToyServer) -> None:
    client.run(["true"])
    before = open_descriptors()
    for _ in range(5):
        client.run(["cat"], input=b"x")
        with pytest.raises(CommandNotFound):
            client.run(["no-such-command"], input=b"x")
    limit = time.monotonic() + 30  # the server, in this process too, closes its own side later
    while open_descriptors() > before and time.monotonic() < limit:
        time.sleep(0.01)
    assert open_descriptors() <= before


def test_no_such_target(run_dir: Path) -> None:
    with pytest.raises(NotFound, match="no container named 'web'"):
        BlockingClient("web")
    with pytest.raises(NotFound, match="no control socket"), BlockingClient("./nowhere") as client:
        client.describe()


def test_blocking_stream(server: ToyServer) -> None:
    server.handlers["Stats"] = answering(usage(cpu=1.0), usage(cpu=2.0))
    with BlockingClient("web") as client:
        cpus = [answer["stats"]["cpu"] for answer in client.stream("Stats", interval=1)]
    assert cpus == [1.0, 2.0]


def test_a_blocking_client_keeps_its_connection(server: ToyServer) -> None:
    with BlockingClient("web") as client:
        for _ in range(3):
            client.run(["true"])
    assert len(server.conversations) == 1


@pytest.mark.trio
async def test_stream(server: ToyServer) -> None:
    server.handlers["Stats"] = answering(usage(cpu=1.0), usage(cpu=2.0))
    async with Client("web") as client, client.stream("Stats", interval=1) as answers:
        assert [answer["stats"]["cpu"] async for answer in answers] == [1.0, 2.0]


@pytest.mark.trio
async def test_idle_connections_are_used_again(server: ToyServer) -> None:
    async with Client("web") as client:
        for _ in range(5):
            await client.run(["true"])
        assert len(server.conversations) == 1


@pytest.mark.trio
async def test_a_connection_that_died_while_idle_is_not_used(server: ToyServer) -> None:
    async with Client("web") as client:
        await client.run(["true"])
        hang_up(server.conversations[0])
        assert (await client.run(["true"])).returncode == 0


@pytest.mark.trio
async def test_many_at_once(server: ToyServer) -> None:
    results: list[bytes | None] = []

    async def one(client: Client, number: int) -> None:
        results.append((await client.run(["echo", str(number)])).stdout)

    async with Client("web") as client, trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(one, client, number)
    assert sorted(results, key=lambda each: int(each or 0)) == [b"%d\n" % n for n in range(40)]


@pytest.mark.trio
async def test_cancelling_ends_the_command(server: ToyServer) -> None:
    async with Client("web") as client:
        with trio.move_on_after(0.2) as scope:
            await client.run(["sleep", "60"])
        assert scope.cancelled_caught
        with trio.fail_after(30):
            await trio.to_thread.run_sync(server.execs["e1"].ended.wait)
        assert (await client.run(["true"])).returncode == 0


@pytest.mark.trio
async def test_popen(server: ToyServer) -> None:
    async with Client("web") as client, client.popen(["cat"]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdin.send_all(b"hello")
        assert await process.stdout.receive_some() == b"hello"
        await process.stdin.aclose()
        assert await process.wait() == 0
        assert await process.wait() == 0
        assert await process.stdout.receive_some() == b""


@pytest.mark.trio
async def test_popen_and_a_signal(server: ToyServer) -> None:
    async with Client("web") as client, client.popen(["sleep", "60"]) as process:
        await process.send_signal(signal.SIGTERM)
        assert await process.wait() == -signal.SIGTERM
        with pytest.raises(UsageError):
            await process.send_signal("NOPE")


@pytest.mark.trio
async def test_leaving_popen_ends_the_command(server: ToyServer) -> None:
    async with Client("web") as client:
        async with client.popen(["sleep", "60"]) as process:
            assert process.returncode is None
        with trio.fail_after(30):
            await trio.to_thread.run_sync(server.execs["e1"].ended.wait)


@pytest.mark.trio
async def test_popen_of_nothing(server: ToyServer) -> None:
    async with Client("web") as client:
        with pytest.raises(CommandNotFound):
            async with client.popen(["no-such-command"]):
                raise AssertionError("nothing was started")


@pytest.mark.parametrize(
    ("example", "printed"),
    [
        (
            "client_blocking.py",
            "b'HELLO FROM THE HOST\\n'\nsh ended with exit status 3 b'no luck\\n'\n",
        ),
        ("client_trio.py", "b'there and back\\n'\nended with 0\n"),
    ],
)
def test_examples(run_dir: Path, server: ToyServer, example: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / example, "web"],
        env=environment(run_dir), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")
