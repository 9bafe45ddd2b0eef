"""Containers on a bridge: they reach each other and the host, and leave nothing behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pyinit.container import network
from pyinit.container.network import leases, nft
from pyinit.errors import InUse, Unsupported, UsageError
from pyinit.linux.netns import call_in_netns
from pyinit.spec.network import BridgeNetwork
from pyinit.spec.network_options import parse_network, parse_publish
from tests.support import netns

pytestmark = pytest.mark.root


def bridge(text: str = "bridge") -> BridgeNetwork:
    value = parse_network(text)
    assert isinstance(value, BridgeNetwork)
    return value


def assert_nothing_left(folder: Path) -> None:
    assert netns.interfaces() == {"lo"}
    assert nft.names() == []
    assert list(folder.glob("*.json")) == []


def test_two_containers_and_the_host_reach_each_other(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            web, db = netns.new_netns(), netns.new_netns()
            a = network.attach(stack, "web", web, bridge(), folder=tmp_path)
            b = network.attach(stack, "db", db, bridge(), folder=tmp_path)
            assert a.ipv4 != b.ipv4
            assert a.ipv6 != b.ipv6
            assert netns.interfaces() == {"lo", "pyinit0", "v-web", "v-db"}
            assert call_in_netns(web, netns.interfaces) == {"lo", "eth0"}
            with netns.tcp_server(db, 5432, "db"), netns.tcp_server(web, 80, "web"):
                for address, asker in ((b.ipv4, a.ipv4), (b.ipv6, a.ipv6)):
                    said = call_in_netns(web, lambda at=address: netns.ask_tcp(at, 5432))
                    assert said == f"db {asker}"
                assert netns.ask_tcp(a.ipv4 or "", 80) == f"web {a.gateway4}"
                assert netns.ask_tcp(a.ipv6 or "", 80) == f"web {a.gateway6}"
        assert_nothing_left(tmp_path)

    netns.run_in_new_host(body)


def test_the_interface_says_whose_it_is(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            name = "a-name-that-is-too-long-for-an-interface"
            had = network.attach(stack, name, netns.new_netns(), bridge(), folder=tmp_path)
            assert had.host_interface in netns.interfaces()
            assert len(had.host_interface) <= 15
            alias = Path("/proc/self/net/dev").read_text()
            assert had.host_interface in alias
            shown = subprocess.run(
                ["ip", "link", "show", had.host_interface], capture_output=True, text=True
            )
            assert f"alias pyinit:{name}" in shown.stdout

    netns.run_in_new_host(body)


def test_a_container_takes_no_orders_from_its_neighbours(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            web = netns.new_netns()
            network.attach(stack, "web", web, bridge(), folder=tmp_path)
            for key in (
                "ipv4/conf/all/accept_redirects",
                "ipv4/conf/eth0/accept_redirects",
                "ipv6/conf/eth0/accept_redirects",
                "ipv6/conf/eth0/accept_ra",
            ):
                assert call_in_netns(web, lambda at=key: netns.read_sysctl(at)) == "0"
            assert netns.read_sysctl("ipv4/ip_forward") == "1"
            assert netns.read_sysctl("ipv6/conf/pyinit0/accept_ra") == "0"

    netns.run_in_new_host(body)


def test_the_subnet_and_addresses_that_were_asked_for(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            asked = "bridge:br7,subnet=10.4.0.0/29,subnet6=fd00:4::/64"
            one = network.attach(
                stack, "one", netns.new_netns(), bridge(f"{asked},ip=10.4.0.5"), folder=tmp_path
            )
            assert (one.addresses, one.gateways) == (
                ["10.4.0.5/29", "fd00:4::5/64"],
                ["10.4.0.1", "fd00:4::1"],
            )
            two = network.attach(stack, "two", netns.new_netns(), bridge(asked), folder=tmp_path)
            assert two.addresses == ["10.4.0.6/29", "fd00:4::6/64"]
            three = network.attach(
                stack, "three", netns.new_netns(), bridge("bridge:br7"), folder=tmp_path
            )
            assert three.addresses == ["10.4.0.2/29", "fd00:4::2/64"]
            for text, error, part in (
                ("bridge:br7,ip=10.4.0.5", InUse, "10.4.0.5 on br7 is taken"),
                ("bridge:br7,ip=10.4.0.1", InUse, "taken"),
                ("bridge:br7,ip=10.4.0.7", UsageError, "broadcast"),
                ("bridge:br7,ip=10.5.0.7", UsageError, "not in 10.4.0.0/29"),
                ("bridge:br7,subnet=10.5.0.0/24", UsageError, "there with the network 10.4.0.0/29"),
                ("bridge:br7,nat=no", UsageError, "there with NAT"),
                ("bridge:br8,subnet=10.4.0.0/16", UsageError, "overlaps 10.4.0.0/29"),
                ("bridge:lo", UsageError, "no bridge"),
            ):
                with pytest.raises(error) as caught:
                    network.attach(stack, "four", netns.new_netns(), bridge(text), folder=tmp_path)
                assert part in str(caught.value)
            assert sorted(owner for _, owner, _ in leases.all_of(tmp_path)) == [
                "one",
                "three",
                "two",
            ]
        assert_nothing_left(tmp_path)

    netns.run_in_new_host(body)


def test_without_ipv6(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            had = network.attach(
                stack, "web", netns.new_netns(), bridge("bridge,subnet6=none"), folder=tmp_path
            )
            assert (had.ipv6, had.gateway6) == (None, None)
        assert_nothing_left(tmp_path)

    netns.run_in_new_host(body)


def test_no_free_address_is_said_and_leaves_the_others_alone(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            small = bridge("bridge,subnet=10.4.0.0/30")
            network.attach(stack, "one", netns.new_netns(), small, folder=tmp_path)
            with pytest.raises(InUse, match=r"every address of 10\.4\.0\.0/30 is leased"):
                network.attach(stack, "two", netns.new_netns(), small, folder=tmp_path)
            assert netns.interfaces() == {"lo", "pyinit0", "v-one"}
        assert_nothing_left(tmp_path)

    netns.run_in_new_host(body)


def test_one_name_has_one_lease(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            network.attach(stack, "web", netns.new_netns(), bridge(), folder=tmp_path)
            with pytest.raises(InUse, match="web has addresses on pyinit0 already"):
                network.attach(stack, "web", netns.new_netns(), bridge(), folder=tmp_path)
            assert "v-web" in netns.interfaces()
        assert_nothing_left(tmp_path)

    netns.run_in_new_host(body)


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    def body() -> None:
        with open("/dev/null", "rb") as null, contextlib.ExitStack() as stack:
            with pytest.raises(Exception, match="make the veth v-web"):
                network.attach(stack, "web", null.fileno(), bridge(), folder=tmp_path)
            stack.close()
            assert_nothing_left(tmp_path)

    netns.run_in_new_host(body)


def test_racing_containers_get_different_addresses(tmp_path: Path) -> None:
    def body() -> None:
        race = multiprocessing.get_context("fork")
        racers = [race.Process(target=_race, args=(tmp_path, f"c{n}")) for n in range(8)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert [racer.exitcode for racer in racers] == [0] * 8
        held = [lease for _, _, lease in leases.all_of(tmp_path)]
        assert len({lease.ipv4 for lease in held}) == len({lease.ipv6 for lease in held}) == 8
        assert sorted(network.clear([], folder=tmp_path)) == [f"c{n}" for n in range(8)]
        assert_nothing_left(tmp_path)

    netns.run_in_new_host(body)


def _race(folder: Path, name: str) -> None:
    undo = contextlib.ExitStack()
    network.attach(undo, name, netns.new_netns(), bridge(), folder=folder)
    undo.pop_all()


def test_what_a_killed_process_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    def body() -> None:
        child = os.fork()
        if child == 0:
            undo = contextlib.ExitStack()
            publish = [parse_publish("8080:80")]
            network.attach(undo, "dead", netns.new_netns(), bridge(), publish, folder=tmp_path)
            os.kill(os.getpid(), 9)
        os.waitpid(child, 0)
        with contextlib.ExitStack() as stack:
            network.attach(stack, "live", netns.new_netns(), bridge(), folder=tmp_path)
            assert network.clear({"live"}, folder=tmp_path) == ["dead"]
            assert network.clear({"live"}, folder=tmp_path) == []
            assert netns.interfaces() == {"lo", "pyinit0", "v-live"}
            assert nft.names() == ["pyinit-bridge-pyinit0"]
        assert_nothing_left(tmp_path)

    netns.run_in_new_host(body)


def test_detaching_twice_is_as_good_as_once(tmp_path: Path) -> None:
    def body() -> None:
        undo = contextlib.ExitStack()
        had = network.attach(
            undo, "web", netns.new_netns(), bridge(), [parse_publish("8080:80")], folder=tmp_path
        )
        undo.pop_all()
        network.detach(had, folder=tmp_path)
        network.detach(had, folder=tmp_path)
        assert_nothing_left(tmp_path)

    netns.run_in_new_host(body)


def test_an_ordinary_user_is_told_the_way_round(tmp_path: Path) -> None:
    def body() -> None:
        tmp_path.chmod(0o777)
        inside = netns.new_netns()
        os.setuid(65534)
        with contextlib.ExitStack() as stack, pytest.raises(Unsupported) as caught:
            network.attach(stack, "web", inside, bridge(), folder=tmp_path / "mine")
        assert "needs root on the host; use --net none" in str(caught.value)
        assert list(tmp_path.glob("mine/*.json")) == []
        with contextlib.ExitStack() as stack, pytest.raises(Unsupported, match="needs root"):
            network.attach(stack, "web", inside, bridge(), folder=Path("/run/pyinit-not-mine"))

    netns.run_in_new_host(_reachable(tmp_path, body))


def _reachable(folder: Path, body: Callable[[], None]) -> Callable[[], None]:
    """With every folder above open to an ordinary user, in this mount namespace only."""

    def with_shelter() -> None:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        shelter = folder.parent.parent
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0777", "none", shelter], check=True)
        folder.mkdir(parents=True)
        folder.parent.chmod(0o777)
        body()

    return with_shelter


def test_a_read_only_proc_sys_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    def body() -> None:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "--bind", "/proc/sys", "/proc/sys"], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", "/proc/sys"], check=True)
        with contextlib.ExitStack() as stack, pytest.raises(Unsupported, match="read-only"):
            network.attach(stack, "web", netns.new_netns(), bridge(), folder=tmp_path)
        assert_nothing_left(tmp_path)

    netns.run_in_new_host(body)


def test_the_host_keeps_listening_to_its_router(tmp_path: Path) -> None:
    """A forwarding host ignores router advertisements unless accept_ra is 2."""

    def body() -> None:
        assert netns.read_sysctl("ipv6/conf/lo/accept_ra") == "1"
        with contextlib.ExitStack() as stack:
            network.attach(stack, "web", netns.new_netns(), bridge(), folder=tmp_path)
            assert netns.read_sysctl("ipv6/conf/all/forwarding") == "1"
            assert netns.read_sysctl("ipv6/conf/lo/accept_ra") == "2"
            assert netns.read_sysctl("ipv6/conf/pyinit0/accept_ra") == "0"

    netns.run_in_new_host(body)


def test_a_spoilt_lease_file_is_named(tmp_path: Path) -> None:
    def body() -> None:
        (tmp_path / "pyinit0.json").write_text("{")
        with contextlib.ExitStack() as stack, pytest.raises(UsageError, match=r"pyinit0\.json"):
            network.attach(stack, "web", netns.new_netns(), bridge(), folder=tmp_path)

    netns.run_in_new_host(body)
