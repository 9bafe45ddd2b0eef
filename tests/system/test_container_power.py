"""What a container's root can't do to its PID 1, to the kernel and to the host; what it can."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support import ctl, roots

pytestmark = pytest.mark.root

ATTACKS = Path(__file__).parents[1] / "payloads" / "attacks.py"

# The tests' own interpreter may lie where only root comes.
SYSTEM_PYTHON = Path("/usr/bin/python3")
PYTHON = str(SYSTEM_PYTHON) if SYSTEM_PYTHON.exists() else os.path.realpath(sys.executable)

# Refusals of any kind; ENOENT, EROFS and EISDIR come from masked and read-only files.
REFUSED = {"EPERM", "EACCES", "ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "EROFS", "ENOENT"}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def run(run_dir: Path, *arguments: str) -> str:
    done = ctl.ctl(run_dir, "run", "--rm", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def attacked(run_dir: Path, *options: str) -> dict[str, str]:
    output = run(run_dir, *options, "--", PYTHON, "-I", "-c", ATTACKS.read_text())
    outcomes: dict[str, str] = json.loads(output)
    return outcomes


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_a_container_holds(run_dir: Path, user: str) -> None:
    outcomes = attacked(run_dir, "--user", user)
    assert {name: got for name, got in outcomes.items() if got not in REFUSED} == {}


def test_without_a_filter_capabilities_still_hold_most(run_dir: Path) -> None:
    """What remains is what docs/explanation/security.md names as the filter's alone."""
    outcomes = attacked(run_dir, "--security-opt", "seccomp=unconfined")
    for name in (
        "ptrace PID 1",
        "pidfd_getfd of PID 1",
        "/proc/1/mem",
        "/proc/1/fd",
        "/proc/1/exe",
    ):
        assert outcomes[name] in REFUSED, name
    for name in ("nice of PID 1", "scheduler of PID 1", "unshare mounts", "setns", "a device"):
        assert outcomes[name] in REFUSED, name
    assert outcomes["prlimit of PID 1"] == "done"


STATUS = "cat /proc/self/status"


def status(output: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in output.splitlines())
    return {key: value.strip() for key, _, value in pairs}


def test_defaults_reach_the_command(run_dir: Path) -> None:
    got = status(run(run_dir, "--", "sh", "-c", STATUS))
    assert got["NoNewPrivs"] == "1"
    assert got["Seccomp"] == "2"
    assert got["CapEff"] == got["CapBnd"] == "00000000000404fb"


def test_options_reach_the_command(run_dir: Path) -> None:
    options = ["--cap-drop", "ALL", "--cap-add", "net_raw", "--umask", "077"]
    options += ["--security-opt", "no-new-privileges=false", "--security-opt", "seccomp=unconfined"]
    options += ["--ulimit", "nofile=100:200", "--oom-score-adj", "500"]
    words = f"{STATUS}; cat /proc/self/limits /proc/self/oom_score_adj"
    output = run(run_dir, *options, "--", "sh", "-c", words)
    got = status(output)
    assert got["CapEff"] == got["CapBnd"] == f"{1 << 13:016x}"
    assert (got["NoNewPrivs"], got["Seccomp"], got["Umask"]) == ("0", "0", "0077")
    assert "Max open files            100                  200" in output
    assert output.endswith("500\n")


def test_another_user_gets_what_was_added(run_dir: Path) -> None:
    got = status(run(run_dir, "-u", "nobody", "--cap-add", "net_raw", "--", "sh", "-c", STATUS))
    assert got["CapEff"] == got["CapAmb"] == f"{1 << 13:016x}"
    assert got["Uid"].split() == ["65534"] * 4


def test_a_profile_that_ends_what_a_thread_needs_does_not_end_pid_1(run_dir: Path) -> None:
    """prctl and clone bring death in it: PID 1 must not load it where it calls them."""
    deadly = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["prctl", "clone", "futex"], "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    run_dir.mkdir()
    profile = run_dir.parent / "deadly.json"
    profile.write_text(json.dumps(deadly))
    option = f"seccomp={profile}"
    assert run(run_dir, "--security-opt", option, "--", "echo", "alive") == "alive\n"


STOPPING = """
import os, time
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        os.kill(-1, 19)
    except OSError:
        pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--ulimit", "core=0"]], ids=["spawned", "forked"])
def test_nobody_holds_up_the_commands_of_others(run_dir: Path, options: list[str]) -> None:
    """A user's process stops every new one of that user, also before it executes: PID 1 must
    not wait with it. Stopped later, it is the user's own affair, and runs into its time."""
    ctl.ctl(run_dir, "run", "-d", "--name", "stopped", *options, "--", "sleep", "300")
    try:
        ctl.ctl(run_dir, "exec", "-d", "-u", "nobody", "stopped", "--", PYTHON, "-c", STOPPING)
        mine = ["exec", "--timeout", "0.3", "--grace", "0.1", "-u", "nobody", "stopped", "true"]
        codes = {ctl.ctl(run_dir, *mine).returncode for _ in range(10)}
        assert codes <= {0, 124, 128 + 9}
        done = ctl.ctl(run_dir, "exec", "stopped", "echo", "free")
        assert done.stdout == b"free\n"
    finally:
        ctl.ctl(run_dir, "rm", "--force", "stopped")


WORKLOADS = {
    "apt": "apt-get --version && dpkg --audit && apt-get -s install curl",
    "dpkg": "dpkg-reconfigure -f noninteractive procps && dpkg-divert --list",
    "users": "useradd -m ada && su ada -c id && chown ada:ada /tmp && chmod 2755 /usr/bin/who",
    "apache": """
        mkdir -p /run/lock
        apache2ctl start
        tries=0
        until curl -fsS http://127.0.0.1/ >/dev/null
        do tries=$((tries + 1)); [ $tries -lt 50 ]; sleep 0.2; done
        apache2ctl stop
    """,
    "postgres": """
        cluster=$(pg_lsclusters -h | cut -d' ' -f1,2)
        pg_ctlcluster $cluster start
        su postgres -c "psql -tc 'select count(*) from pg_class'"
        pg_ctlcluster $cluster stop
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_what_must_work_under_the_default(run_dir: Path, name: str) -> None:
    root = roots.debian_root()
    run(run_dir, "--layer", str(root), "--", "sh", "-ec", WORKLOADS[name])
