"""The same payloads under tini, dumb-init and pyinit: the same codes and the same signals."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.inits import (
    PYINIT,
    Running,
    children,
    exit_code,
    isolated,
    print_signals,
    state,
    until,
)

pytestmark = [pytest.mark.root, pytest.mark.package("tini", "dumb-init")]

TINI = ("tini", "--")
DUMB_INIT = ("dumb-init", "--")
LEAN = (*PYINIT, "--")


def full(tmp_path: Path, *options: str) -> tuple[str, ...]:
    return (*PYINIT, "--control", str(tmp_path / "c.sock"), *options, "--")


@pytest.fixture(params=["lean", "full"])
def pyinit(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    return LEAN if request.param == "lean" else full(tmp_path)


@pytest.mark.parametrize(
    "script", ["exit 0", "exit 7", "exit 255", "kill -KILL $$", "kill -TERM $$", "kill -34 $$"]
)
def test_exit_codes(script: str, pyinit: tuple[str, ...]) -> None:
    codes = {exit_code(init, "sh", "-c", script) for init in (TINI, DUMB_INIT, pyinit)}
    assert len(codes) == 1


@pytest.mark.parametrize("command", ["nosuch", "/nosuch/cmd", "/etc/passwd", "/etc"])
def test_commands_that_cannot_be_run(command: str, pyinit: tuple[str, ...]) -> None:
    code = exit_code(TINI, command)
    assert code in (126, 127)
    assert exit_code(pyinit, command) == code


def test_a_script_without_an_interpreter_is_the_shells(
    tmp_path: Path, pyinit: tuple[str, ...]
) -> None:
    script = tmp_path / "script"
    script.write_text('exit "$1"\n')
    script.chmod(0o755)
    assert exit_code(TINI, str(script), "3") == exit_code(pyinit, str(script), "3") == 3


def signals_seen(init: tuple[str, ...], numbers: list[int]) -> list[str]:
    with Running(isolated(*init, *print_signals())) as running:
        assert running.line().startswith("ready")
        seen = []
        for number in numbers:
            running.send(number)
            seen.append(running.line())
        running.finish()
        assert running.wait() == 0
        return seen


STANDARD = [1, 2, 3, 10, 12, 14, 15, 16, 18, 23, 24, 25, 26, 27, 28, 29, 30]


def test_signals_reach_the_command(pyinit: tuple[str, ...]) -> None:
    expected = [str(number) for number in STANDARD]
    assert signals_seen(TINI, STANDARD) == expected
    assert signals_seen(DUMB_INIT, STANDARD) == expected
    assert signals_seen(pyinit, STANDARD) == expected


def test_real_time_signals_do_too(pyinit: tuple[str, ...]) -> None:
    numbers = [signal.SIGRTMIN, signal.SIGRTMIN + 3, signal.SIGRTMIN + 4, signal.SIGRTMAX]
    assert signals_seen(TINI, numbers) == signals_seen(pyinit, numbers) == [str(n) for n in numbers]


def test_a_signal_is_rewritten_or_dropped() -> None:
    options = ["-r", "15:3", "--rewrite", "1:0", "--"]
    for init in (["dumb-init", *options], [*PYINIT, *options]):
        with Running(isolated(*init, *print_signals())) as running:
            running.line()
            running.send(signal.SIGHUP)
            running.send(signal.SIGTERM)
            assert running.line() == "3"


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])
def test_stops_become_sigstop_in_a_session_of_its_own(number: int, pyinit: tuple[str, ...]) -> None:
    for init in (DUMB_INIT, pyinit):
        with Running(isolated(*init, *print_signals())) as running:
            running.line()
            payload = children(running.init)[0]
            running.send(number)
            until(lambda pid=payload: state(pid) == "T")
            running.send(signal.SIGCONT)
            assert running.line() == str(int(signal.SIGCONT))


@pytest.mark.parametrize(
    ("init", "whole"),
    [
        (TINI, False),
        (("tini", "-g", "--"), True),
        (DUMB_INIT, True),
        (("dumb-init", "-c", "--"), False),
        (LEAN, False),
        ((*PYINIT, "-g", "--"), True),
        ((*PYINIT, "-c", "--"), False),
    ],
    ids=lambda value: Path(" ".join(value)).name if isinstance(value, tuple) else str(value),
)
def test_signals_go_to_the_command_or_its_group(init: tuple[str, ...], whole: bool) -> None:
    with Running(isolated(*init, *print_signals("child"))) as running:
        ready = {running.line().rpartition(" ")[0] for _ in range(2)}
        assert ready == {"ready", "child ready"}
        running.send(signal.SIGUSR1)
        running.send(signal.SIGUSR2)
        expected = {"10", "12", "child 10", "child 12"} if whole else {"10", "12"}
        assert {running.line() for _ in expected} == expected


def test_the_environment_of_tini_asks_for_the_group() -> None:
    prepare = "export TINI_KILL_PROCESS_GROUP=1"
    for init in (TINI, LEAN):
        with Running(isolated(*init, *print_signals("child"), prepare=prepare)) as running:
            assert {running.line() for _ in range(2)}
            running.send(signal.SIGUSR1)
            assert {running.line() for _ in range(2)} == {"10", "child 10"}


def test_expected_codes_become_0(tmp_path: Path) -> None:
    for init in (("tini",), PYINIT, full(tmp_path)[:-1]):
        assert exit_code((*init, "-e", "143", "--"), "sh", "-c", "kill $$") == 0
        assert exit_code((*init, "-e", "143", "--"), "sh", "-c", "exit 9") == 9


def test_wrong_options_leave_with_1() -> None:
    for init in (("tini",), ("dumb-init",), PYINIT):
        assert exit_code(init) == 1
        assert exit_code(init, "-Z", "true") == 1


@pytest.mark.parametrize("called", ["tini", "dumb-init"])
def test_called_by_a_peers_name(called: str, tmp_path: Path) -> None:
    """Process group and session of the command are the peer's, and so is who gets signals."""
    link = tmp_path / called
    link.symlink_to(PYINIT[1])
    script = "cut -d' ' -f5,6 /proc/self/stat; exit 4"

    def told(*init: str) -> str:
        with Running(isolated(*init, "--", "sh", "-c", script)) as running:
            line = running.line()
            assert running.wait() == 4
            return line

    assert told(PYINIT[0], str(link)) == told(called)
