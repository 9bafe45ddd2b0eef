"""The control socket by path, and sockets that were handed in."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from pyinit.errors import InUse, SystemFault, UsageError
from pyinit.init.entrypoint import sockets


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


def test_it_listens_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    descriptor = sockets.listen(str(path))
    assert connects(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    assert [each.name for each in tmp_path.iterdir()] == ["control.sock"]


def test_a_dead_ones_socket_is_replaced_and_a_live_ones_is_not(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    os.close(sockets.listen(str(path)))
    assert not connects(path)
    descriptor = sockets.listen(str(path))
    with pytest.raises(InUse, match="already"):
        sockets.listen(str(path))
    os.close(descriptor)


def test_the_working_folder_stays_and_long_paths_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    os.close(sockets.listen(str(deep / "control.sock")))
    assert Path.cwd() == tmp_path
    assert stat.S_ISSOCK((deep / "control.sock").stat().st_mode)


def test_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemFault, match="No such file"):
        sockets.listen(str(tmp_path / "nowhere" / "control.sock"))


def variables(pid: int | None = None, fds: str = "1", names: str = "") -> dict[bytes, bytes]:
    values = {"LISTEN_FDS": fds, "LISTEN_PID": str(pid or os.getpid()), "KEPT": "1"}
    if names:
        values["LISTEN_FDNAMES"] = names
    return {key.encode(): value.encode() for key, value in values.items()}


def test_sockets_for_another_process_are_not_taken() -> None:
    environment = variables(pid=os.getpid() + 1)
    assert sockets.take_handed(environment) == ([], [])
    assert environment == {b"KEPT": b"1"}


def test_a_descriptor_that_does_not_listen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as idle:
        monkeypatch.setattr(sockets, "FIRST_DESCRIPTOR", idle.fileno())
        with pytest.raises(UsageError, match="LISTEN_FDNAMES"):
            sockets.take_handed(variables())


def test_names_tell_inits_from_the_commands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listener = sockets.listen(str(tmp_path / "c"))
    monkeypatch.setattr(sockets, "FIRST_DESCRIPTOR", listener)
    environment = variables(fds="2", names="control:http")
    assert sockets.take_handed(environment) == ([listener], [listener + 1])
    assert environment == {b"KEPT": b"1", b"LISTEN_FDS": b"1", b"LISTEN_FDNAMES": b"http"}
    os.close(listener)
