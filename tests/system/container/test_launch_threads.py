"""Several containers made at once by threads of one process."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyinit.container import clearing
from pyinit.container.launch import Container, launch
from pyinit.errors import CommandNotFound, InUse, PyinitError
from pyinit.spec.container import ContainerSpec
from pyinit.spec.network import BridgeNetwork
from pyinit_ctl.blocking import BlockingClient

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("leaves_nothing")]

THREADS = 8
PATIENCE_S = 60.0


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PYINIT_RUN_DIR", str(tmp_path / "run"))
    yield tmp_path / "run"
    assert not [each for each in (tmp_path / "run").iterdir() if (each / "state.json").exists()]


def end(container: Container) -> None:
    signal.pidfd_send_signal(container.pidfd, signal.SIGKILL)
    assert select.select([container.pidfd], [], [], PATIENCE_S)[0]
    os.waitpid(container.pid, 0)
    container.close()
    clearing.remove(container.folder)


def used(number: int) -> None:
    """Make a container, run something in it, and end it."""
    command = ("sleep", "1000")
    container = launch(ContainerSpec(name=f"many{number}", command=command))
    try:
        with BlockingClient(str(container.control)) as client:
            assert client.run(["hostname"]).stdout == f"many{number}\n".encode()
    finally:
        end(container)


def failing(number: int) -> None:
    """The end of its PID 1 is heard, whatever other forks are under way."""
    with pytest.raises(CommandNotFound):
        launch(ContainerSpec(name=f"fails{number}", command=("no-such-command",)))


def test_launches_side_by_side(run_dir: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(THREADS) as pool:
        work = [pool.submit(used if n % 3 else failing, n) for n in range(2 * THREADS)]
        for each in work:
            each.result(PATIENCE_S)
    assert len(os.listdir("/proc/self/fd")) == before


def test_one_name_goes_to_one_thread(run_dir: Path) -> None:
    def attempt(_: int) -> Container | PyinitError:
        try:
            return launch(ContainerSpec(name="same", command=("sleep", "1000")))
        except PyinitError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(attempt, range(THREADS)))
    made = [each for each in found if isinstance(each, Container)]
    assert len(made) == 1
    assert all(isinstance(each, InUse) for each in found if each is not made[0])
    end(made[0])


def test_a_bridge_for_many(run_dir: Path) -> None:
    """Its first use makes it, and each gets an address of its own."""

    def connected(number: int) -> Container:
        network = BridgeNetwork(name="pyitest5")
        return launch(ContainerSpec(name=f"net{number}", network=network, command=("sleep", "9")))

    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(connected, range(THREADS)))
    addresses = set()
    for container in made:
        with BlockingClient(str(container.control)) as client:
            addresses.add(client.run(["cat", "/etc/hosts"]).stdout)
        end(container)
    assert len(addresses) == THREADS
