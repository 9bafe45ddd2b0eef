"""The supervisor with real processes, descriptors and time."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pyinit.init.life import State
from pyinit.init.supervisor import Supervisor
from pyinit.init.unit import ServiceStatus
from pyinit.spec.service import Check, Services, SocketSpec
from tests.support.real_services import RealProcesses
from tests.support.services import service

pytestmark = pytest.mark.trio
LIMIT = 30


@asynccontextmanager
async def running(services: Services, tmp_path: Path, **options: Any) -> AsyncIterator[Supervisor]:
    """The supervisor, with everything ended at the end."""
    supervisor = Supervisor(
        services,
        RealProcesses(),
        on_event=lambda *event: None,
        notify_folder=str(tmp_path / "notify"),
        **options,
    )
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.run)
            await supervisor.started.wait()
            try:
                yield supervisor
            finally:
                supervisor.shutdown()
                supervisor.hurry()


async def settled(supervisor: Supervisor, name: str) -> ServiceStatus:
    (status,) = await supervisor.settle(name)
    return status


def python(text: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", text)


NOTIFY = """
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"STATUS=up\\nREADY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""


async def test_readiness_by_sd_notify(tmp_path: Path) -> None:
    services = {"a": service(type="notify", command=python(NOTIFY))}
    async with running(services, tmp_path) as supervisor:
        status = await settled(supervisor, "a")
        assert (status.state, status.text) == (State.RUNNING, "up")
        supervisor.stop("a")
        status = await settled(supervisor, "a")
        assert (status.state, status.signal) == (State.INACTIVE, signal.SIGTERM)


async def test_readiness_by_a_descriptor(tmp_path: Path) -> None:
    text = "import os, time; os.write(7, b'\\n'); os.close(7); time.sleep(1000)"
    services = {"a": service(type="notify", notify_fd=7, command=python(text))}
    async with running(services, tmp_path) as supervisor:
        assert (await settled(supervisor, "a")).state is State.RUNNING


ECHO = """
import os, socket
assert os.environ["LISTEN_PID"] == str(os.getpid())
assert os.environ["LISTEN_FDNAMES"] == "one:two"
peer, _ = socket.socket(fileno=3 + int(os.environ["LISTEN_FDS"]) - 1).accept()
peer.sendall(b"hello")
"""


async def test_socket_activation(tmp_path: Path) -> None:
    paths = [tmp_path / "1", tmp_path / "2"]
    sockets = tuple(
        SocketSpec(listen=f"unix:{path}", name=name)
        for path, name in zip(paths, ("one", "two"), strict=True)
    )
    services = {"a": service(command=python(ECHO), sockets=sockets, type="oneshot")}
    async with running(services, tmp_path, exit_when_done=False) as supervisor:
        await wait_all_tasks_blocked()
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            client.connect(str(paths[1]))
            await trio.lowlevel.wait_readable(client.fileno())
            assert client.recv(10) == b"hello"
        assert (await settled(supervisor, "a")).state is State.COMPLETED


async def test_a_stopped_process_still_ends_by_term(tmp_path: Path) -> None:
    services = {"a": service(command=("sleep", "1000"), stop_timeout=LIMIT)}
    async with running(services, tmp_path) as supervisor:
        await settled(supervisor, "a")
        supervisor.signal("a", signal.SIGSTOP)
        supervisor.stop("a")
        status = await settled(supervisor, "a")
        assert (status.state, status.signal) == (State.INACTIVE, signal.SIGTERM)


async def test_what_a_service_leaves_behind_is_ended(tmp_path: Path) -> None:
    command = ("sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/pid; exit 3")
    spec = service(command=command, type="oneshot")
    async with running({"a": spec}, tmp_path, exit_when_done=False) as s:
        assert (await settled(s, "a")).code == 3
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_what_ignores_term_is_killed(tmp_path: Path) -> None:
    text = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "os.write(5, b'\\n'); time.sleep(1000)"
    )
    spec = service(command=python(text), stop_timeout=0.05, type="notify", notify_fd=5)
    async with running({"a": spec}, tmp_path) as supervisor:
        await settled(supervisor, "a")
        supervisor.stop("a")
        assert (await settled(supervisor, "a")).signal == signal.SIGKILL


async def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    supervisor = Supervisor(
        {"a": service(command=("/no/such/program",))}, RealProcesses(), on_event=lambda *event: None
    )
    with trio.fail_after(LIMIT):
        assert await supervisor.run() == 127


async def test_a_check_by_command(tmp_path: Path) -> None:
    check = Check(exec=("test", "-e", str(tmp_path / "ok")), period=0.02, threshold=1)
    heard: list[str] = []
    send, receive = trio.open_memory_channel[str](10)

    def on_event(kind: str, *rest: object) -> None:
        heard.append(kind)
        if kind.endswith("healthy"):
            send.send_nowait(kind)

    spec = service(command=("sleep", "1000"), checks={"ok": check})
    supervisor = Supervisor({"a": spec}, RealProcesses(), on_event=on_event)
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.run)
            assert await receive.receive() == "unhealthy"
            (tmp_path / "ok").touch()
            assert await receive.receive() == "healthy"
            supervisor.shutdown()
    assert heard[-1] == "stopped"
