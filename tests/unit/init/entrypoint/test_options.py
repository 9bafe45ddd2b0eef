"""The options of tini, of dumb-init and our own."""

from __future__ import annotations

import signal

import pytest

from pyinit.errors import UsageError
from pyinit.init.entrypoint.options import GROUP, NOTHING, SESSION, Options, parse


def read(*words: str, called: str = "pyinit", **environment: str) -> Options:
    return parse([called, *words], environment)


def test_reading_stops_at_the_first_other_word() -> None:
    options = read("-s", "cmd", "-g", "--", "-x")
    assert options.command == ["cmd", "-g", "--", "-x"]
    assert options.subreaper
    assert not options.group


def test_two_dashes_end_the_options() -> None:
    assert read("-v", "--", "-s", "x").command == ["-s", "x"]


def test_a_lone_dash_is_a_command() -> None:
    assert read("-", "x").command == ["-", "x"]


def test_the_switches_of_tini() -> None:
    options = read("-sgwvv", "-e", "143", "-e7", "-p", "SIGKILL", "cmd")
    assert options.subreaper
    assert options.group
    assert options.warn_orphans
    assert options.level == "debug"
    assert options.expected == {143, 7}
    assert options.parent_death == signal.SIGKILL


def test_the_options_of_dumb_init() -> None:
    options = read("-c", "-r", "15:3", "--rewrite=TERM:QUIT", "-r", "1:0", "--verbose", "cmd")
    assert options.apart == NOTHING
    assert options.rewrite == {15: 3, 1: 0}
    assert options.level == "info"
    assert read("--single-child", "cmd").single_child


def test_the_environment_of_both() -> None:
    options = read("cmd", TINI_SUBREAPER="", TINI_KILL_PROCESS_GROUP="1", TINI_VERBOSITY="3")
    assert options.subreaper
    assert options.group
    assert options.level == "debug"
    assert read("cmd", TINI_VERBOSITY="0").level == "error"
    assert read("cmd", DUMB_INIT_SETSID="0").single_child
    assert read("cmd", DUMB_INIT_DEBUG="1").level == "debug"


def test_our_own() -> None:
    options = read(
        *("--control", "/c/s", "--name=n", "--grace", "2.5", "--log-level=error"),
        *("--log-format", "json", "--keep-control-folder", "--pass-notify-socket"),
    )
    assert options.control == "/c/s"
    assert options.name == "n"
    assert options.grace == 2.5
    assert options.level == "error"
    assert options.log_format == "json"
    assert options.keep_control_folder
    assert options.pass_notify_socket
    assert options.command == []


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["-h"], "help"),
        (["--help"], "help"),
        (["-V"], "version"),
        (["--version"], "version"),
        (["-l"], "license"),
        (["-vh", "cmd"], "help"),
    ],
)
def test_what_is_shown(words: list[str], shown: str) -> None:
    assert read(*words).show == shown


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "no command"),
        (["--"], "no command"),
        (["-Z", "cmd"], "-Z"),
        (["--nope", "cmd"], "--nope"),
        (["-e"], "needs a value"),
        (["-e", "256", "cmd"], "0 to 255"),
        (["-e", "x", "cmd"], "0 to 255"),
        (["-p", "NOSUCH", "cmd"], "no such signal"),
        (["-r", "15", "cmd"], "SIGNAL:SIGNAL"),
        (["-r", "0:15", "cmd"], "no such signal"),
        (["-r", "15:99", "cmd"], "no such signal"),
        (["--grace", "-1", "cmd"], "seconds"),
        (["--grace=nan", "cmd"], "seconds"),
        (["--log-level", "loud", "cmd"], "error, warning"),
        (["--single-child=1", "cmd"], "no value"),
        (["--control="], "needs a value"),
        (["-cg", "cmd"], "exclude"),
    ],
)
def test_what_is_refused(words: list[str], hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        read(*words)


@pytest.mark.parametrize(
    ("called", "apart", "group"),
    [("pyinit", SESSION, False), ("/usr/bin/tini", GROUP, False), ("dumb-init", SESSION, True)],
)
def test_the_name_decides_where_the_peers_differ(called: str, apart: str, group: bool) -> None:
    options = read("cmd", called=called)
    assert options.apart == apart
    assert options.forwarding().group is group


def test_a_command_of_its_own_session_is_stopped_by_sigstop() -> None:
    forwarding = read("cmd").forwarding()
    assert forwarding.rewrite[signal.SIGTSTP] == signal.SIGSTOP
    assert forwarding.stops_self
    assert read("-r", "TSTP:0", "cmd").forwarding().rewrite[signal.SIGTSTP] == 0
    assert read("-c", "cmd").forwarding().rewrite == {}
    assert read("cmd", called="tini").forwarding().rewrite == {}


def test_an_expected_code_becomes_0() -> None:
    options = read("-e", "143", "cmd")
    assert options.exit_code(143) == 0
    assert options.exit_code(1) == 1
