"""`pyinit --services`: the services of an image, and the command that comes after them."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.support.inits import LIMIT_S, PYINIT, Running, environment, exit_code, isolated, until
from tests.support.varlink_call import call

pytestmark = pytest.mark.root

READY = """
[services.first]
type = "oneshot"
command = ["sh", "-c", "echo one"]

[services.web]
after = ["first"]
requires = ["first"]
command = [
    "sh", "-c",
    "trap 'echo bye; exit' TERM; echo up; echo err >&2; while :; do sleep 0.1; done",
]
"""


@pytest.fixture
def services(tmp_path: Path) -> Path:
    path = tmp_path / "services.toml"
    path.write_text(READY)
    return path


def test_the_command_comes_after_the_services_and_ends_them(services: Path) -> None:
    init = (*PYINIT, "--services", str(services))
    with Running(isolated(*init, "sh", "-c", "echo main; read x; exit 4")) as running:
        assert running.line() == "first | one"
        assert {running.line(), running.line()} == {"main", "web | up"}
        running.finish()
        assert running.line() == "web | bye"
        assert running.wait() == 4
        assert "web | err" in running.errors()


def test_services_alone_end_by_a_signal(services: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with Running(isolated(*PYINIT, "--services", str(services), "--control", str(path))) as running:
        assert [running.line(), running.line()] == ["first | one", "web | up"]
        names = {each["name"] for each in call(path, "ListServices")["services"]}
        assert names == {"first", "web"}
        running.send(signal.SIGTERM)
        assert running.line() == "web | bye"
        assert running.wait() == 0


def test_a_signal_before_anybody_listens_ends_it_all_the_same(services: Path) -> None:
    with Running(isolated(*PYINIT, "--services", str(services))) as running:
        until(lambda: running.children_are_there() and blocks(running.init, signal.SIGTERM))
        running.send(signal.SIGTERM)
        assert running.wait() == 0


def blocks(pid: int, number: int) -> bool:
    """Whether its main thread keeps the signal waiting, or had it before it was asked."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    if status["Name"].strip() == "unshare":
        return False  # it holds signals back around its fork as well, and then forgets them
    masks = int(status["SigBlk"], 16) | int(status["SigCgt"], 16)
    return bool(masks >> (number - 1) & 1)


def test_faults_are_told_before_anything_starts(services: Path, tmp_path: Path) -> None:
    services.write_text("[services.web]\nnope = 1\n")
    marker = tmp_path / "started"
    with Running(isolated(*PYINIT, "--services", str(services), "touch", str(marker))) as running:
        assert running.wait() == 125
        assert f"{services}:2:" in running.errors()
    assert not marker.exists()


def test_a_failing_service_that_matters_is_the_exit_code(services: Path) -> None:
    services.write_text(
        '[services.web]\ncommand = ["sh", "-c", "exit 9"]\non-failure = "shutdown"\n'
        'restart = "no"\n'
    )
    assert exit_code((*PYINIT, "--services", str(services)), "sleep", "1000") == 9


def test_a_command_that_can_not_be_executed(services: Path) -> None:
    assert exit_code((*PYINIT, "--services", str(services)), "nosuch") == 127


def test_the_host_hears_when_the_services_are_up(services: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as host:
        host.bind(str(tmp_path / "notify"))
        host.settimeout(LIMIT_S)
        told = environment(NOTIFY_SOCKET=str(tmp_path / "notify"))
        with Running(isolated(*PYINIT, "--services", str(services)), env=told) as running:
            assert running.line() == "first | one"
            assert host.recv(4096) == b"READY=1"
            running.send(signal.SIGTERM)
            assert running.wait() == 0
            assert host.recv(4096) == b"STOPPING=1\nEXIT_STATUS=0"
