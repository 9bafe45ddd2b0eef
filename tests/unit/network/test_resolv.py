"""The files by which a container finds names."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyinit.container.network import resolv
from pyinit.errors import UsageError
from pyinit.spec.network import HostEntry

HOST = """# made by something
domain old.example
search example.net corp.example
nameserver 127.0.0.53
nameserver ::1
nameserver 192.0.2.53
nameserver fe80::1%eth0
nameserver fd00::53
nameserver nonsense
nameserver
options edns0 ndots:2
"""


def test_loopback_servers_lead_nowhere_and_the_rest_is_kept() -> None:
    assert resolv.resolv_conf(HOST) == (
        "search example.net corp.example\n"
        "nameserver 192.0.2.53\n"
        "nameserver fd00::53\n"
        "options edns0 ndots:2\n"
    )


def test_with_the_hosts_network_its_file_is_taken_as_it_is() -> None:
    assert resolv.resolv_conf(HOST, shared=True) == HOST
    changed = resolv.resolv_conf(HOST, search=["."], shared=True)
    assert "nameserver 127.0.0.53\n" in changed
    assert "search" not in changed


def test_what_was_asked_for_takes_the_place_of_the_hosts() -> None:
    said = resolv.resolv_conf(HOST, ["198.51.100.1"], ["a.example", "b.example"])
    assert said == ("search a.example b.example\nnameserver 198.51.100.1\noptions edns0 ndots:2\n")
    assert resolv.resolv_conf("", ["198.51.100.1"], ["."]) == "nameserver 198.51.100.1\n"


def test_a_domain_line_after_search_counts() -> None:
    assert resolv.resolv_conf("search a b\ndomain c\n") == "search c\n"
    assert resolv.resolv_conf("search .\n") == ""


def test_the_servers_behind_a_stub_are_found(tmp_path: Path) -> None:
    stub, behind = tmp_path / "resolv.conf", tmp_path / "behind"
    assert resolv.host_resolv_conf(stub, behind) == ""
    stub.write_text("nameserver 127.0.0.53\n")
    assert resolv.host_resolv_conf(stub, behind) == "nameserver 127.0.0.53\n"
    behind.write_text("nameserver 192.0.2.53\n")
    assert resolv.host_resolv_conf(stub, behind) == "nameserver 192.0.2.53\n"
    stub.write_text("nameserver 192.0.2.1\n")
    assert resolv.host_resolv_conf(stub, behind) == "nameserver 192.0.2.1\n"


def test_hosts_of_a_container_on_a_bridge() -> None:
    entries = [HostEntry("db", "10.0.0.7"), HostEntry("up", "host-gateway")]
    said = resolv.hosts(
        ["web.example.net", "web"], ["10.0.0.2", "fd00::2"], entries, ["10.0.0.1", "fd00::1"]
    )
    assert said.splitlines()[:2] == [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
    ]
    assert said.splitlines()[4:] == [
        "10.0.0.7\tdb",
        "10.0.0.1\tup",
        "fd00::1\tup",
        "10.0.0.2\tweb.example.net web",
        "fd00::2\tweb.example.net web",
    ]


def test_hosts_of_a_container_without_a_network() -> None:
    assert resolv.hosts(["web"]).splitlines()[-1] == "127.0.1.1\tweb"
    with pytest.raises(UsageError, match="only a container on a bridge"):
        resolv.hosts(["web"], entries=[HostEntry("up", "host-gateway")])


def test_hosts_of_a_container_with_the_hosts_network(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    assert resolv.host_hosts(path) == ""
    path.write_text("127.0.0.1 localhost\n192.0.2.9 nas\n")
    said = resolv.hosts(["web"], base=resolv.host_hosts(path))
    assert said == "127.0.0.1 localhost\n192.0.2.9 nas\n127.0.1.1\tweb\n"


def test_hostname() -> None:
    assert resolv.hostname("web") == "web\n"
