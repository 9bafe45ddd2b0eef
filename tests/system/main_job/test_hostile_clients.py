"""What a client sends costs PID 1 nothing but that client's own tasks."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import Host

pytestmark = pytest.mark.root

LIMIT = 10.0


@pytest.fixture
def name(host: Host) -> str:
    return host.run("--", "sleep", "1000")


@pytest.fixture
def path(host: Host, name: str) -> Path:
    return host.run_dir / name / "control.sock"


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(LIMIT)
    client.connect(str(path))
    return client


def is_dropped(client: socket.socket) -> bool:
    """Whether the server closes the connection, with or without a last word."""
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def still_works(host: Host, name: str) -> None:
    assert host.inside(name, "echo", "fine") == "fine\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xfe garbage\0",
        b"{}\0",
        b"\0",
        b"[1,2,3]\0",
        b'{"method": 3}\0',
        b'{"method": "a.b", "more": "yes"}\0',
        b"[" * 100_000 + b"\0",
        b'{"method":"io.pyinit.Control.Describe","parameters":' + b'{"a":' * 5000 + b"\0",
    ],
)
def test_garbage_is_dropped(host: Host, name: str, path: Path, sent: bytes) -> None:
    with connect(path) as client:
        client.sendall(sent)
        assert is_dropped(client)
    still_works(host, name)


def test_half_a_message_and_a_hang_up(host: Host, name: str, path: Path) -> None:
    with connect(path) as client:
        client.sendall(b'{"method":"io.pyinit.Con')
    still_works(host, name)


def test_100_mb_without_an_end(host: Host, name: str, path: Path) -> None:
    rss = resident(host.state(name)["pid"])
    with connect(path) as client:
        try:
            for _ in range(100):
                client.sendall(b"x" * 1_000_000)
        except OSError:
            pass
    still_works(host, name)
    assert resident(host.state(name)["pid"]) < rss + 16_000_000


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_thousand_silent_connections(host: Host, name: str, path: Path) -> None:
    clients = [connect(path) for _ in range(1000)]
    still_works(host, name)
    for client in clients:
        client.close()
    still_works(host, name)


def test_descriptors_nobody_asked_for_are_closed(host: Host, name: str, path: Path) -> None:
    pid = host.state(name)["pid"]
    message = b'{"method":"io.pyinit.Control.Describe"}\0'
    with connect(path) as client:
        for _ in range(50):
            socket.send_fds(client, [message], [0, 1, 2] * 4)
            assert json.loads(receive(client))["parameters"]["container"]["name"] == name
        assert open_descriptors(pid) < 100


def test_too_many_descriptors(host: Host, name: str, path: Path) -> None:
    pid = host.state(name)["pid"]
    before = open_descriptors(pid)
    with connect(path) as client:
        socket.send_fds(client, [b'{"method":"io.pyinit.Control.Describe"}\0'], [0] * 200)
        assert is_dropped(client)
    still_works(host, name)
    assert open_descriptors(pid) <= before + 2


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def receive(client: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\0"):
        part = client.recv(65536)
        assert part
        data += part
    return data[:-1]


def test_client_that_does_not_read(host: Host, name: str, path: Path) -> None:
    """Its answers fill the socket; others are answered all the same."""
    with connect(path) as client:
        client.setblocking(False)
        message = b'{"method":"io.pyinit.Control.ListProcesses"}\0' * 200
        for chunk in chunks(message, 100):
            try:
                client.send(chunk)
            except BlockingIOError:
                break
        still_works(host, name)
    still_works(host, name)


def chunks(message: bytes, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield message


def test_half_closed_client_is_answered(name: str, path: Path) -> None:
    with connect(path) as client:
        client.sendall(b'{"method":"io.pyinit.Control.Describe"}\0')
        client.shutdown(socket.SHUT_WR)
        assert json.loads(receive(client))["parameters"]["container"]["name"] == name


def test_reaping_goes_on_meanwhile(host: Host, name: str, path: Path) -> None:
    with connect(path) as client:
        client.sendall(b'{"method":"io.pyi')
        host.inside(name, "sh", "-c", "for i in 1 2 3 4 5; do (setsid true &) ; done")
        states = [each["state"] for each in host.json("ps", "--json", name)]
    assert "Z" not in states


def test_clients_see_init_as_their_peer(host: Host, name: str, path: Path) -> None:
    with connect(path) as client:
        pid = int.from_bytes(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), "little")
    assert pid == host.state(name)["pid"]
