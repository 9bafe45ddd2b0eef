"""The command runs before init is loaded: what holds in the time between."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyinit.container import clearing
from pyinit.container.inside import overlaps
from pyinit.container.launch import Container, launch
from pyinit.container.namespaces import Namespaces
from pyinit.errors import CommandNotFound
from pyinit.init import loading
from pyinit.spec.container import ContainerSpec, Root
from pyinit.spec.privileges import Privileges, change_capabilities
from tests.support.controls import Caller
from tests.support.roots import busybox_root

pytestmark = [pytest.mark.root, pytest.mark.package("busybox-static")]

LIMIT_S = 20


@dataclass
class Held:
    """A gate that init's loader waits at."""

    opening: int

    def open(self) -> None:
        os.write(self.opening, b"!")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Held]:
    """Containers launched now have a command, but no init until the gate is opened."""
    monkeypatch.setenv("PYINIT_RUN_DIR", str(tmp_path / "run"))
    waiting, opening = os.pipe()
    # Past what PID 1 closes: the number is free in there.
    high = os.dup2(waiting, 900)
    load = loading.load

    def load_later() -> None:
        os.read(high, 1)
        load()

    keep(monkeypatch, high)
    monkeypatch.setattr(loading, "load", load_later)
    monkeypatch.setattr(loading, "_loaded", False)
    yield Held(opening)
    for descriptor in (waiting, opening, high):
        os.close(descriptor)


def keep(monkeypatch: pytest.MonkeyPatch, descriptor: int) -> None:
    """Have PID 1 keep this one when it closes what it has no use for."""
    from pyinit.container import inside

    close: Callable[[set[int]], None] = inside.close_all_but
    monkeypatch.setattr(inside, "close_all_but", lambda kept: close({*kept, descriptor}))


@contextmanager
def running(*command: str, **more: object) -> Iterator[Container]:
    root = Root(layers=(str(busybox_root()),))
    container = launch(ContainerSpec(name="early", command=command, root=root, **more))  # type: ignore[arg-type]
    try:
        yield container
    finally:
        if container.pid:
            signal.pidfd_send_signal(container.pidfd, signal.SIGKILL)
        ended(container)
        clearing.remove(container.folder)
        container.close()


def ended(container: Container) -> None:
    if not container.pid:
        return
    readable, _, _ = select.select([container.pidfd], [], [], LIMIT_S)
    assert readable, "PID 1 has not ended"
    os.waitpid(container.pid, 0)
    container.pid = 0


def exit_record(container: Container) -> tuple[int, str]:
    record = json.loads((container.folder / "exit.json").read_text())
    return record["exit_code"], record["reason"]


def logged(container: Container) -> list[str]:
    """The texts of the main command's log so far."""
    path = container.folder / "logs" / "main.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split(" ", 3)[3] for line in lines]


def test_the_command_runs_while_init_is_still_to_be_loaded(held: Held, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    root = Root(layers=(str(busybox_root()),))
    spec = ContainerSpec(name="early", command=("sh", "-c", "echo here; exec cat"), root=root)
    container = launch(spec, stdio=(None, writing, None))
    os.close(writing)
    assert os.read(reading, 100) == b"here\n"
    ended(container)  # /dev/null has nothing to read: it was over before init was there
    os.close(reading)
    assert exit_record(container) == (0, "exited")
    clearing.remove(container.folder)
    container.close()


def test_a_client_that_comes_early_is_answered_later(held: Held) -> None:
    with running("sleep", "1000") as container, Caller(container.control) as caller:
        caller.send("Describe", {})
        readable, _, _ = select.select([caller.socket], [], [], 0)
        assert not readable
        held.open()
        reply = caller.receive()
        assert reply.error is None, reply.parameters
        assert caller.run("echo", "hello")["stdout"] == "hello\n"


def test_an_end_before_init_is_loaded_is_kept_with_the_output(held: Held) -> None:
    with running("sh", "-c", "echo out; echo err >&2; exit 7") as container:
        ended(container)
        assert exit_record(container) == (7, "exited")
        assert sorted(logged(container)) == ["err", "out"]


def test_death_by_a_signal_is_told_apart(held: Held) -> None:
    with running("sh", "-c", "kill -9 $$") as container:
        ended(container)
        assert exit_record(container) == (137, "killed")


def test_what_is_left_behind_is_ended_by_init(held: Held) -> None:
    left = "trap 'echo asked; exit' TERM; touch /tmp/up; while :; do sleep 0.05; done"
    script = f'setsid sh -c "{left}" & until [ -e /tmp/up ]; do sleep 0.05; done; exit 5'
    with running("sh", "-c", script) as container:
        held.open()
        ended(container)
        assert exit_record(container) == (5, "exited")
        assert "asked" in logged(container)  # and what the shell says of its own children


def test_a_signal_before_init_is_loaded_is_not_lost(held: Held) -> None:
    script = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    reading, writing = os.pipe()
    root = Root(layers=(str(busybox_root()),))
    spec = ContainerSpec(name="early", command=("sh", "-c", script), root=root)
    container = launch(spec, stdio=(None, writing, None))
    os.close(writing)
    with open(reading) as output:
        assert output.readline() == "ready\n"
        os.kill(container.pid, signal.SIGTERM)
        held.open()
        assert output.readline() == "got it\n"
    ended(container)
    assert exit_record(container) == (3, "exited")
    clearing.remove(container.folder)
    container.close()


def test_an_init_that_can_not_be_loaded_ends_the_container(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ModuleNotFoundError("no trio here")

    monkeypatch.setattr(loading, "load", fail)
    with running("sleep", "1000") as container:
        ended(container)
        code, reason = exit_record(container)
        assert code == 125
        assert "no trio here" in reason
        assert "no trio here" in (container.folder / "logs" / "init.log").read_text()


def test_a_command_that_is_not_there_is_told_at_once(held: Held) -> None:
    with pytest.raises(CommandNotFound, match="nonesuch"), running("nonesuch"):
        pass


def test_nobody_inside_sees_the_root_that_the_loader_is_in(held: Held) -> None:
    script = "for each in /proc/1/root /proc/1/cwd /proc/1/task/*/root /proc/1/task/*/cwd; do"
    script += " ls $each/ 2>/dev/null && echo seen; done; ls -d /proc/1/task/*; exec cat"
    reading, writing = os.pipe()
    root = Root(layers=(str(busybox_root()),))
    spec = ContainerSpec(name="early", command=("sh", "-c", script), root=root)
    container = launch(spec, stdio=(None, writing, None))
    os.close(writing)
    with open(reading) as output:
        text = output.read()
    assert "seen" not in text
    # The loader's thread is there, and was looked at.
    assert text.count("/proc/1/task/") >= 2
    ended(container)
    clearing.remove(container.folder)
    container.close()


def test_the_main_thread_imports_nothing_in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(loading, "load", lambda: __import__("this_is_no_module"))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        loader = loading.OutsideLoader()
        with pytest.raises(ModuleNotFoundError, match="nothing is imported in the container"):
            __import__("this_is_no_module_either")
        loader.begin()
        assert signal.sigtimedwait({signal.SIGCHLD}, LIMIT_S) is not None
        assert loader.done
        assert "No module named 'this_is_no_module'" in str(loader.failure)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, True),
        ({"privileges": change_capabilities(Privileges(), ["SYS_PTRACE"])}, False),
        ({"privileges": change_capabilities(Privileges(), ["ALL"])}, False),
        ({"privileges": Privileges(seccomp=None)}, False),
        ({"privileges": Privileges(seccomp="/a/profile.json")}, False),
        ({"namespaces": {"pid": "host"}}, False),
        ({"namespaces": {"user": "auto"}}, False),
        ({"time_offsets": {"boottime": 5}}, False),
        ({"command": ()}, False),
    ],
)
def test_who_may_be_overtaken(more: dict[str, object], expected: bool) -> None:
    values: dict[str, object] = {"name": "early", "command": ("true",), **more}
    spec = ContainerSpec(**values)  # type: ignore[arg-type]
    assert overlaps(spec, Namespaces.preview(spec)) is expected
