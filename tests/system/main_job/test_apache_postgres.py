"""Two containers of one Debian root at once, each with Apache on port 80 and PostgreSQL."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import Host
from tests.support.roots import debian_root

pytestmark = [pytest.mark.root, pytest.mark.package("mmdebstrap"), pytest.mark.slow]

EXAMPLE = Path(__file__).parents[3] / "examples" / "apache-postgres"
NAMES = ("site-a", "site-b")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Both are up: the example's script says so itself, when the services answer."""
    run_dir = tmp_path_factory.mktemp("run")
    host = Host(run_dir)
    try:
        for name in NAMES:
            script = str(EXAMPLE / "serve.sh")
            host.run("--hostname", name, "--layer", str(debian_root()), "-v",
                     f"{script}:/serve.sh:ro", "--", "sh", "/serve.sh", name=name)  # fmt: skip
            host.inside(name, "sh", "-c", "until [ -e /run/ready ]; do sleep 0.05; done")
        yield host
    finally:
        host.clear()


@pytest.mark.parametrize("name", NAMES)
def test_postgres_answers(site: Host, name: str) -> None:
    answer = site.ok("exec", "-u", "postgres", name, "psql", "-At", "-c", "select 1")
    assert answer == "1\n"


@pytest.mark.parametrize("name", NAMES)
def test_apache_answers_with_its_own_page(site: Host, name: str) -> None:
    assert site.inside(name, "curl", "--silent", "http://localhost:80/name.txt") == f"{name}\n"


def test_both_use_the_default_ports_at_once(site: Host) -> None:
    for name in NAMES:
        listening = site.inside(name, "cat", "/proc/net/tcp", "/proc/net/tcp6")
        assert ":0050 " in listening
        assert ":1538 " in listening


def test_ipc_is_not_shared(site: Host) -> None:
    own = [site.inside(name, "ipcs", "-m").split() for name in NAMES]
    keys = [{word for word in words if word.startswith("0x")} for words in own]
    assert all(keys)  # PostgreSQL has a segment in each
    made = site.inside(NAMES[0], "ipcmk", "-M", "4096").split()[-1]
    assert made in site.inside(NAMES[0], "ipcs", "-m").split()
    key = next(
        line.split()[0]
        for line in site.inside(NAMES[0], "ipcs", "-m").splitlines()
        if line.split()[1:2] == [made]
    )
    assert key not in site.inside(NAMES[1], "ipcs", "-m")


def test_hostnames_mounts_and_pids(site: Host) -> None:
    assert [site.inside(name, "hostname").strip() for name in NAMES] == list(NAMES)
    roots = {site.inside(name, "stat", "-c", "%d", "/").strip() for name in NAMES}
    assert len(roots) == 2
    for name in NAMES:
        mounts = site.inside(name, "cat", "/proc/mounts")
        assert str(site.run_dir / ("site-b" if name == "site-a" else "site-a")) not in mounts


def test_a_process_has_another_pid_on_the_host(site: Host) -> None:
    inside = site.inside("site-a", "pgrep", "-o", "postgres").strip()
    files = [str(path) for path in Path("/proc").glob("[0-9]*/status")]
    command = ["grep", "-lE", rf"^NSpid:\s+[0-9]+\s+{inside}$", *files]
    status = subprocess.run(command, capture_output=True, text=True).stdout.split()
    pids = {Path(path).parts[2] for path in status}
    assert pids
    assert inside not in pids


def test_each_stops_cleanly(site: Host) -> None:
    for name in NAMES:
        site.ok("stop", "--timeout", "20", name)
        assert site.exit(name)["exit_code"] in (0, 143)
