"""Two sites of Apache and PostgreSQL on one bridge: published, and one of them capped."""

from __future__ import annotations

import socket
import struct
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.containers import Host
from tests.support.roots import debian_root

pytestmark = [pytest.mark.root, pytest.mark.package("mmdebstrap"), pytest.mark.slow]

SCRIPT = Path(__file__).parents[3] / "examples" / "apache-postgres" / "serve.sh"
BRIDGE = "bridge:pyitsites"
LIMITS = ("--memory", "64m", "--pids-limit", "32", "--cpus", "0.5")
# Debian's defaults would start more threads than the capped one may have.
SMALL = """
StartServers 1
ThreadLimit 4
ThreadsPerChild 4
MinSpareThreads 1
MaxSpareThreads 4
MaxRequestWorkers 4
"""
SITES: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "free": (18081, 15431, ()),
    "capped": (18082, 15432, LIMITS),
}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Both are up, and answer."""
    place = tmp_path_factory.mktemp("sites")
    (place / "small.conf").write_text(SMALL)
    (place / "net.conf").write_text("listen_addresses = '*'\n")
    for name in ("small.conf", "net.conf"):
        (place / name).chmod(0o644)
    place.chmod(0o755)
    version = next((debian_root() / "etc/postgresql").iterdir()).name
    host = Host(tmp_path_factory.mktemp("run"))
    volumes = (
        f"{SCRIPT}:/serve.sh:ro",
        f"{place}/small.conf:/etc/apache2/conf-enabled/zz-small.conf:ro",
        f"{place}/net.conf:/etc/postgresql/{version}/main/conf.d/net.conf:ro",
    )
    try:
        for name, (web, database, limits) in SITES.items():
            words = [word for volume in volumes for word in ("-v", volume)]
            words += ["-p", f"{web}:80", "-p", f"{database}:5432", "--net", BRIDGE]
            words += ["--hostname", name, "--layer", str(debian_root())]
            host.run(*words, *limits, "--", "sh", "/serve.sh", name=name)
            host.inside(name, "sh", "-c", "until [ -e /run/ready ]; do sleep 0.05; done")
        yield host
    finally:
        host.clear()


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/name.txt", timeout=20) as answer:
        text: bytes = answer.read()
    return text.decode().strip()


def speaks_postgres(port: int) -> bool:
    """PostgreSQL answers a request for TLS with one letter, S or N."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(struct.pack("!II", 8, 80877103))
        return link.recv(1) in (b"S", b"N")


def usage(sites: Host, name: str) -> dict[str, Any]:
    found = sites.json("stats", name, "--json")
    found = found[0] if isinstance(found, list) else found
    merged: dict[str, Any] = {**found, **(found.get("usage") or {})}
    return merged


@pytest.mark.parametrize("name", SITES)
def test_the_host_reaches_both_services_by_published_ports(sites: Host, name: str) -> None:
    web, database, _ = SITES[name]
    assert page(web) == name
    assert speaks_postgres(database)


@pytest.mark.parametrize(("name", "other"), [("free", "capped"), ("capped", "free")])
def test_they_reach_each_other_by_address(sites: Host, name: str, other: str) -> None:
    address = sites.state(other)["network"]["ipv4"]
    asked = sites.inside(name, "curl", "--silent", f"http://{address}/name.txt")
    assert asked.strip() == other
    assert "accepting" in sites.inside(name, "pg_isready", "-h", address)


def test_the_capped_one_gets_half_a_processor(sites: Host) -> None:
    """Five million rounds of a shell take longer than one period of the scheduler."""
    before = usage(sites, "capped")["cpu_throttled"]
    sites.inside("capped", "sh", "-c", "n=0; while [ $n -lt 400000 ]; do n=$((n+1)); done")
    assert usage(sites, "capped")["cpu_throttled"] > before
    assert not usage(sites, "free")["cpu_throttled"]


def test_the_capped_one_gets_no_33rd_process(sites: Host) -> None:
    script = "n=0; while [ $n -lt 64 ]; do sleep 1000 >/dev/null 2>&1 & n=$((n+1)); done"
    done = sites.ctl("exec", "capped", "--", "sh", "-c", script)
    assert done.returncode != 0
    assert b"fork" in done.stderr.lower()
    found = usage(sites, "capped")
    assert found["processes"] <= 32
    assert found["processes_limit"] == 32
    sites.inside("capped", "pkill", "-x", "sleep")
    assert page(SITES["capped"][0]) == "capped"


def test_the_capped_one_runs_out_of_memory_alone(sites: Host) -> None:
    hungry = "x=aaaaaaaa; while :; do x=$x$x; done"
    assert sites.ctl("exec", "capped", "--", "sh", "-c", hungry).returncode == 137
    found = usage(sites, "capped")
    assert found["oom_kills"] >= 1
    assert found["memory_limit"] == 64 << 20
    for name, (web, database, _) in SITES.items():
        assert page(web) == name
        assert speaks_postgres(database)
