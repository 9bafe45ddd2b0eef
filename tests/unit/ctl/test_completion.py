"""What is offered for a command line that is being typed, and how fast it is asked for."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyinit_ctl.cli import QUICK, VERBS
from pyinit_ctl.completion.candidates import candidates
from pyinit_ctl.completion.line import split
from pyinit_ctl.completion.scripts import SCRIPTS
from tests.support.ctl import START, ctl, environment
from tests.support.toy_server import ToyServer, answering

LIMIT_S = 30.0


def offered(line: str) -> list[str]:
    return [word for word, _ in candidates(split(line))]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", [""]),
        ("a b", ["a", "b"]),
        ("a ", ["a", ""]),
        ("a 'b c", ["a", "b c"]),
        ('a "b ', ["a", "b "]),
        ("a b\\", ["a", "b"]),
        ("a b\\ ", ["a", "b "]),
        ("a 'b' ", ["a", "b", ""]),
    ],
)
def test_words_of_a_line(line: str, words: list[str]) -> None:
    assert split(line) == words


def test_every_verb_is_offered_and_has_options(run_dir: Path) -> None:
    verbs = offered("")
    assert {*VERBS, *QUICK} < set(verbs)
    for verb in (*VERBS, *QUICK):
        found = offered(f"{verb} --")
        assert verb in {"net", "ns"} or found, verb
        assert all(word.startswith("--") for word in found)
        assert dict(candidates([verb, "--help"])) or verb in {"net", "ns"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("exe", ["exec", "execs"]),
        ("exec --det", ["--detach", "--detach-keys"]),
        ("exec ", ["web"]),
        ("exec -it w", ["web"]),
        ("exec -u root ", ["web"]),
        ("exec -uroot --timeout=3 ", ["web"]),
        ("exec -H other ", []),
        ("exec -itHother w", []),
        ("exec --host other ", []),
        ("exec --host=other -u root ", []),
        ("exec web l", []),
        ("exec web -- --det", []),
        ("exec --cap-add NET_B", ["NET_BIND_SERVICE", "NET_BROADCAST"]),
        ("exec --cap-add=NET_B", ["--cap-add=NET_BIND_SERVICE", "--cap-add=NET_BROADCAST"]),
        ("exec --env-file ", [":files"]),
        ("exec --env-file=x", [":files"]),
        ("exec /run/x", [":files"]),
        ("dial --", ["--hang-up", "--help"]),
        ("dial --hang-up ", ["web"]),
        ("dial web ", []),
        ("run --net ", ["none", "host", "bridge", "container:"]),
        ("run --network container:", ["container:web"]),
        ("run --root ", [":dirs"]),
        ("run --rm -v ", [":files"]),
        ("run --ulimit nof", ["nofile="]),
        ("run sleep --", []),
        ("stop ", ["web"]),
        ("stop web ", ["db", "cache"]),
        ("stop --no-wait web d", ["db"]),
        ("restart web cache ", ["db", "cache"]),
        ("logs web --service ", ["db", "cache"]),
        ("logs --service=c", []),
        ("attach web ", ["7", "job"]),
        ("wait web j", ["job"]),
        ("signal web ", ["db", "cache", "7", "job"]),
        ("signal web db US", ["USR1", "USR2"]),
        ("kill -s HU", ["HUP"]),
        ("pause web ", ["web"]),
        ("call web ListE", ["ListExecs"]),
        ("net ", ["add", "del", "ls"]),
        ("net add ", ["web"]),
        ("net ls --j", ["--json"]),
        ("ns rm web ne", ["net"]),
        ("ns rm wrong-", []),
        ("net wrong ", []),
        ("wrong ", []),
        ("completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_offered(server: ToyServer, line: str, words: list[str]) -> None:
    server.handlers["ListServices"] = answering({"services": [named("db"), named("cache")]})
    server.handlers["ListExecs"] = answering(
        {"execs": [{"id": "7", "argv": ["sleep", "1"], "state": "running"}, {"id": "job"}]}
    )
    assert offered(line) == words


def named(name: str) -> dict[str, str]:
    return {"name": name, "state": "up"}


def test_what_a_container_says_means_nothing_to_a_shell(server: ToyServer) -> None:
    hostile = ["$(reboot)", "a b", "`x`", ";x", "x\n", "-\x1b[2J", "", "fine"]
    found = [{"id": each, "argv": ["\x1b[2J\tx\ny"], "state": "running"} for each in hostile]
    server.handlers["ListExecs"] = answering({"execs": found})
    offers = list(candidates(["attach", "web", ""]))
    assert [word for word, _ in offers] == ["fine"]
    assert all(about.isprintable() for _, about in offers)


@pytest.mark.parametrize("answer", [{}, {"execs": 3}, {"execs": ["x", {"id": 7}, {}]}])
def test_odd_answers(server: ToyServer, answer: dict[str, object]) -> None:
    server.handlers["ListExecs"] = answering(answer)
    assert set(offered("attach web ")) <= {"7", "None"}


def test_a_container_that_is_not_there_or_does_not_answer(run_dir: Path) -> None:
    assert offered("attach gone ") == []
    (run_dir / "dead").mkdir()
    (run_dir / "dead" / "state.json").touch()
    assert offered("attach dead ") == []
    assert offered("attach ") == ["dead"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_words_come_with_what_they_are(run_dir: Path, shell: str) -> None:
    done = ctl(run_dir, "completion", shell, "--line", "pyinit-ctl pau")
    assert done.stdout == b"pause\tFreeze everything in a container but its init.\n"
    assert ctl(run_dir, "completion", shell, "--line", "pyinit-ctl run --root x").stdout == (
        b":dirs\n"
    )


def test_what_bash_has_behind_a_colon(run_dir: Path) -> None:
    """It replaces what is behind the last : or = only."""
    (run_dir / "web").mkdir()
    (run_dir / "web" / "state.json").touch()
    line = ["--line", "pyinit-ctl run --net container:w", "--word", "w"]
    assert ctl(run_dir, "completion", "bash", *line).stdout == b"web\n"


def test_a_shell_that_is_none(run_dir: Path) -> None:
    done = ctl(run_dir, "completion", "csh")
    assert done.returncode == 125
    assert b"bash" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.fixture
def shell_environment(tmp_path: Path, run_dir: Path) -> dict[str, str]:
    """A PATH with a pyinit-ctl of this tree, and no files of the user's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "pyinit-ctl"
    program.write_text(f"#!{sys.executable}\n{START}\n")
    program.chmod(0o755)
    own = {"HOME": str(tmp_path), "TERM": "dumb", "PS1": "$ ", "ZDOTDIR": str(tmp_path)}
    own["PATH"] = f"{folder}:{os.environ['PATH']}"
    return {**environment(run_dir), **own}


class Typed:
    """A shell on a terminal, and what is typed at it."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._seen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def see(self, wanted: str) -> None:
        """Return once the text came behind what was seen before."""
        end = time.monotonic() + LIMIT_S
        while wanted not in self._seen:
            left = end - time.monotonic()
            assert left > 0, self._seen
            assert select.select([self._master], [], [], left)[0], self._seen
            self._seen += os.read(self._master, 65536).decode(errors="replace")
        self._seen = self._seen.partition(wanted)[2]


@contextmanager
def shell(env: dict[str, str], *command: str) -> Iterator[Typed]:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    try:
        yield Typed(master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_in_bash(server: ToyServer, shell_environment: dict[str, str]) -> None:
    server.handlers["ListServices"] = answering({"services": [named("cache")]})
    with shell(shell_environment, "bash", "--norc", "--noprofile", "-i") as typed:
        typed.type(f"source <(pyinit-ctl completion bash); {BASH_KEY}; echo loa''ded\n")
        typed.see("loaded\r\n")
        for line, wanted in [
            ("pyinit-ctl unp\tw\t", "pyinit-ctl unpause web "),
            (
                "pyinit-ctl exec --det\t-k\tctrl-a --cap-add=MK\tw\t",
                "pyinit-ctl exec --detach-keys ctrl-a --cap-add=MKNOD web ",
            ),
            ("pyinit-ctl run --net=cont\tw\t", "pyinit-ctl run --net=container:web "),
            ("pyinit-ctl run --net cont\tw\t", "pyinit-ctl run --net container:web "),
            ("pyinit-ctl stop web c\t", "pyinit-ctl stop web cache "),
            (
                "pyinit-ctl run --root /et\tapt/so\t",
                "pyinit-ctl run --root /etc/apt/sources.list.d/",
            ),
        ]:
            typed.type(f"{line}\x18")
            typed.see(f"<{wanted}>")


# A key that shows the line as it is by then.
BASH_KEY = 'bind -x \'"\\C-x": echo "<$READLINE_LINE>"; READLINE_LINE=\''
ZSH_KEY = "show() { print -r \"<$BUFFER>\"; BUFFER=; }; zle -N show; bindkey '^X' show"


@pytest.mark.package("zsh")
def test_in_zsh(server: ToyServer, shell_environment: dict[str, str]) -> None:
    with shell(shell_environment, "zsh", "-f", "-i") as typed:
        typed.type("autoload -U compinit; compinit -u -D\n")
        typed.type(f"source <(pyinit-ctl completion zsh); {ZSH_KEY}; echo loa''ded\n")
        typed.see("loaded\r\n")
        for line, wanted in [
            ("pyinit-ctl unp\tw\t", "pyinit-ctl unpause web "),
            (
                "pyinit-ctl exec --detach-k\tctrl-a --cap-add=MK\tw\t",
                "pyinit-ctl exec --detach-keys ctrl-a --cap-add=MKNOD web ",
            ),
            ("pyinit-ctl run --net cont\tw\t", "pyinit-ctl run --net container:web "),
        ]:
            typed.type(f"{line}\x18")
            typed.see(f"<{wanted}>")


@pytest.mark.package("fish")
def test_in_fish(server: ToyServer, shell_environment: dict[str, str]) -> None:
    def asked(line: str) -> str:
        script = "pyinit-ctl completion fish | source; complete -C $argv[1]"
        command = ["fish", "--no-config", "-c", script, line]
        done = subprocess.run(command, env=shell_environment, capture_output=True, timeout=LIMIT_S)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    assert asked("pyinit-ctl unp") == "unpause\tLet everything in a container go on.\n"
    assert asked("pyinit-ctl exec -it w") == "web\tcontainer\n"
    assert asked("pyinit-ctl run --net container:") == "container:web\n"
    assert "/etc/" in asked("pyinit-ctl run --root /et")


def test_scripts_name_the_program_they_are_for() -> None:
    assert all("pyinit-ctl completion" in script for script in SCRIPTS.values())
