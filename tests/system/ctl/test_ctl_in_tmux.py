"""`exec -it`, `shell` and `attach` in a real terminal, with what people run in one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.containers import Host
from tests.support.tmux import PATIENCE_S, Window, window

pytestmark = [
    pytest.mark.root,
    pytest.mark.package("tmux"),
    pytest.mark.package("less"),
    pytest.mark.package("vim-tiny"),
]

BASH = "bash --norc --noprofile"


@pytest.fixture
def person(host: Host, tmp_path: Path) -> Iterator[Window]:
    with window(tmp_path, host.run_dir) as opened:
        yield opened


@pytest.fixture
def name(host: Host) -> str:
    return host.run()


def enter(person: Window, name: str, command: str = BASH, options: str = "") -> None:
    """Open a shell in the container, and wait for its prompt."""
    person.type(f"ctl exec -it -e PS1='inside$ ' {options} {name} {command}")
    person.see("inside$")


def ended(host: Host, name: str, identity: str) -> Any:
    """How the exec ended, once it has."""
    limit = time.monotonic() + PATIENCE_S
    while True:
        found = next(each for each in host.json("execs", "--json", name) if each["id"] == identity)
        if found["state"] == "exited":
            return found
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_job_control(person: Window, name: str) -> None:
    before = person.attributes()
    enter(person, name)
    # Says that it has the terminal: a key that comes earlier is the shell's.
    job = "sh -c 'echo here; exec sleep 600'"
    person.type(job)
    person.see("here")
    person.press("C-z")
    person.see(f"[1]+  Stopped                 {job}")
    person.type("bg; jobs; fg")
    person.see(f"[1]+  Running                 {job} &")
    person.press("C-c")
    person.see("^C")
    person.type("echo status-$?; exit 9")
    person.see("status-130")
    person.see("<9>")
    assert person.attributes() == before


def test_sizes(person: Window, name: str) -> None:
    person.resize(93, 31)
    enter(person, name)
    person.type("stty size")
    person.see("31 93")
    script = """$SIG{WINCH}=sub{system "stty size"}; $|=1; print "armed\n"; sleep 9 while 1"""
    person.type(f"perl -e '{script}'")
    person.see("armed")
    person.resize(70, 17)
    person.see("17 70")


def test_less(person: Window, name: str) -> None:
    enter(person, name)
    person.type("seq 500 >/tmp/numbers; less /tmp/numbers")
    person.see_all([*map(str, range(1, 24)), "/tmp/numbers"])
    person.resize(40, 10)
    person.see_all([*map(str, range(1, 10)), ":"])
    person.press("G")
    person.see_all([*map(str, range(492, 501)), "(END)"])
    person.press("q")
    person.see("inside$")
    person.type("stty size")
    person.see("10 40")


def test_vim(host: Host, person: Window, name: str) -> None:
    enter(person, name)
    person.type("vim.tiny -u NONE -N /tmp/text")
    person.see('"/tmp/text" [New')
    assert person.screen()[1:3] == ["~", "~"]
    person.resize(60, 15)
    person.type(":set lines? columns?")
    person.see("  lines=15")
    person.see("  columns=60")
    person.press("Enter")
    person.press("i", "G", "r", "ü", "ß", "e", "Escape")
    person.type(":wq")
    person.see("inside$")
    person.type("exit")
    person.see("<0>")
    assert host.inside(name, "cat", "/tmp/text") == "Grüße\n"


def test_detach_and_come_back(host: Host, person: Window, name: str) -> None:
    before = person.attributes()
    enter(person, name)
    person.type("keep=this")
    person.press("C-p", "C-q")
    (found,) = (each for each in host.json("execs", "--json", name) if each["terminal"])
    person.see(f"pyinit-ctl: detached from {found['id']};")
    person.see("<0>")
    assert person.attributes() == before
    person.type("clear")
    person.resize(66, 20)
    person.type(f"ctl attach {name} {found['id']}")
    person.type("echo found-$keep; stty size; exit 4")
    person.see("found-this")
    person.see("20 66")
    person.see("<4>")
    assert person.attributes() == before


def test_what_a_detached_terminal_wrote_is_shown(person: Window, name: str) -> None:
    enter(person, name)
    person.type("mkfifo /tmp/go; read x </tmp/go; echo writ''ten; read x </tmp/go")
    person.press("C-p", "C-q")
    person.see("pyinit-ctl: detached from")
    person.type(f"clear; ctl exec {name} sh -c 'echo >/tmp/go'; ctl attach {name} 1")
    person.see("written")
    person.press("C-c")
    person.see("inside$")


def test_a_closed_window_hangs_up(host: Host, person: Window, name: str) -> None:
    enter(person, name, f"sh -c 'trap \"echo hung up >/tmp/said; exit 3\" HUP; {BASH}'")
    (found,) = (each for each in host.json("execs", "--json", name) if each["terminal"])
    person.shut()
    assert ended(host, name, found["id"])["status"]["code"] == 3
    assert host.inside(name, "cat", "/tmp/said") == "hung up\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_for_the_client_ends_both(
    host: Host, person: Window, name: str, number: signal.Signals
) -> None:
    before = person.attributes()
    enter(person, name)
    assert person.attributes() != before
    (found,) = (each for each in host.json("execs", "--json", name) if each["terminal"])
    os.kill(person.client(), number)
    person.see(f"<{128 + number}>")
    assert person.attributes() == before
    assert ended(host, name, found["id"])["status"]["code"] != 0


def test_the_container_ends_under_the_terminal(host: Host, person: Window, name: str) -> None:
    before = person.attributes()
    enter(person, name)
    person.type("echo asleep; sleep 600")
    person.see("asleep")
    host.ok("kill", name)
    person.see("<137>", "<125>")  # its end was told, or the connection lost before that
    assert person.attributes() == before


def test_shell(person: Window, name: str) -> None:
    person.type(f"ctl shell -u root -w /tmp {name}")
    person.type("PS1='inside$ '; shopt login_shell; pwd; id -un; exit 5")
    person.see("login_shell     on")
    person.see("/tmp")
    person.see("root")
    person.see("<5>")
