from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from trio.testing import MockClock

from pyinit.errors import SystemFault
from pyinit.init.life import State
from pyinit.init.listeners import Listeners
from pyinit.spec.service import SocketSpec
from tests.support.services import service, stage


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_sockets_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "s"
    specs = (
        SocketSpec(listen=f"tcp:127.0.0.1:{free_port()}", name="web"),
        SocketSpec(listen=f"udp:127.0.0.1:{free_port(socket.SOCK_DGRAM)}"),
        SocketSpec(listen=f"unix:{path}", mode=0o600, name="admin"),
        SocketSpec(listen=f"unix-dgram:{tmp_path / 'd'}"),
    )
    listeners = Listeners(specs)
    assert listeners.environment == {
        "LISTEN_FDS": "4",
        "LISTEN_FDNAMES": "web:unknown:admin:unknown",
    }
    assert list(listeners.descriptors) == [3, 4, 5, 6]
    assert not any(os.get_inheritable(fd) for fd in listeners.descriptors.values())
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o666
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listeners.close()
    assert list(tmp_path.iterdir()) == []


def test_all_or_none_are_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    before = len(os.listdir("/proc/self/fd"))
    specs = (
        SocketSpec(listen=f"unix:{tmp_path / 's'}"),
        SocketSpec(listen=f"unix:{tmp_path / 'file'}"),
    )
    with pytest.raises(SystemFault, match=r"listen on unix:.*Address already in use"):
        Listeners(specs)
    assert len(os.listdir("/proc/self/fd")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_family_that_the_kernel_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(SystemFault, match=r"open a socket for tcp:\[::1\]:80: Address family"):
        Listeners((SocketSpec(listen="tcp:[::1]:80"),))


def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "s"))
    Listeners((SocketSpec(listen=f"unix:{tmp_path / 's'}"),)).close()


@pytest.mark.trio
async def test_sockets_stay_open_across_restarts(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "s"
    spec = service(sockets=(SocketSpec(listen=f"unix:{path}", name="a"),), restart="always")
    async with stage({"a": spec}) as s:
        await s.start()
        first = s.main("a").launch
        assert first.listen_pid
        assert first.environment["LISTEN_FDNAMES"] == "a"
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(path))
            s.supervisor.restart("a")
            await s.settle()
            assert s.main("a").launch.descriptors == first.descriptors
        s.supervisor.stop("a")
        await s.settle()
        assert not path.exists()


@pytest.mark.trio
async def test_an_address_in_use_fails_the_start(autojump_clock: MockClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        spec = service(sockets=(SocketSpec(listen=f"tcp:127.0.0.1:{port}"),))
        async with stage({"a": spec}) as s:
            await s.start()
            assert s.state("a") is State.FAILED
            assert "Address already in use" in s.supervisor.status("a")[0].reason
