"""Published ports: who reaches them and by which address, and who is kept out."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from pyinit.container import network
from pyinit.container.network import nft
from pyinit.errors import InUse, UsageError
from pyinit.linux.netns import call_in_netns
from pyinit.spec.network import BridgeNetwork, Publish
from pyinit.spec.network_options import parse_network, parse_publish
from tests.support import netns

pytestmark = pytest.mark.root

LAN_HOST, LAN_NEIGHBOUR = "192.0.2.1", "192.0.2.2"
LAN6_HOST, LAN6_NEIGHBOUR = "2001:db8::1", "2001:db8::2"


def attach(
    stack: contextlib.ExitStack, folder: Path, name: str, *published: str, net: str = "bridge"
) -> tuple[int, network.Attachment]:
    value = parse_network(net)
    assert isinstance(value, BridgeNetwork)
    inside = netns.new_netns()
    publish = [parse_publish(text) for text in published]
    return inside, network.attach(stack, name, inside, value, publish, folder=folder)


@contextlib.contextmanager
def neighbour() -> Iterator[int]:
    """Another machine on the host's network, with a route to every container's address."""
    outside = netns.new_netns()
    with IPRoute() as ip:
        ip.link("add", ifname="lan0", kind="veth", peer={"ifname": "lan0", "net_ns_fd": outside})
        _address("lan0", LAN_HOST, LAN6_HOST)
    call_in_netns(outside, lambda: _address("lan0", LAN_NEIGHBOUR, LAN6_NEIGHBOUR))
    call_in_netns(outside, lambda: _default_by(LAN_HOST, LAN6_HOST))
    yield outside


def _address(interface: str, ipv4: str, ipv6: str) -> None:
    with IPRoute() as ip:
        index = ip.link("get", ifname=interface)[0]["index"]
        ip.addr("add", index=index, address=ipv4, prefixlen=24)
        ip.addr("add", index=index, address=ipv6, prefixlen=64, flags=2)
        ip.link("set", index=index, state="up")


def _default_by(ipv4: str, ipv6: str) -> None:
    with IPRoute() as ip:
        ip.route("add", gateway=ipv4)
        ip.route("add", gateway=ipv6, family=10)


@pytest.mark.parametrize("bridge_netfilter", ["0", "1"])
def test_every_way_to_a_published_port(tmp_path: Path, bridge_netfilter: str) -> None:
    """Docker and Kubernetes turn br_netfilter on: bridged packets then pass the firewall too."""

    def body() -> None:
        for switch in Path("/proc/sys/net/bridge").glob("bridge-nf-call-ip*tables"):
            switch.write_text(bridge_netfilter)
        with contextlib.ExitStack() as stack, neighbour() as outside:
            web, had = attach(stack, tmp_path, "web", "8080:80", "5353:53/udp")
            other, _ = attach(stack, tmp_path, "other")
            stack.enter_context(netns.tcp_server(web, 80, "web"))
            stack.enter_context(netns.udp_server(web, 53, "dns"))
            ask = netns.ask_tcp
            assert ask("127.0.0.1", 8080) == f"web {had.gateway4}"
            assert ask(LAN_HOST, 8080).startswith("web ")
            assert ask(LAN6_HOST, 8080).startswith("web ")
            assert call_in_netns(outside, lambda: ask(LAN_HOST, 8080)) == f"web {LAN_NEIGHBOUR}"
            assert call_in_netns(outside, lambda: ask(LAN6_HOST, 8080)) == f"web {LAN6_NEIGHBOUR}"
            for inside in (other, web):
                for address in (LAN_HOST, LAN6_HOST, had.gateway4 or "", had.gateway6 or ""):
                    said = call_in_netns(inside, lambda at=address: ask(at, 8080))
                    assert said.startswith("web ")
            assert netns.ask_udp("127.0.0.1", 5353) == "dns"
            assert call_in_netns(outside, lambda: netns.ask_udp(LAN_HOST, 5353)) == "dns"

    netns.run_in_new_host(body)


def test_ipv6_loopback_refuses_at_once_and_localhost_falls_back(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            web, _ = attach(stack, tmp_path, "web", "8080:80")
            stack.enter_context(netns.tcp_server(web, 80, "web"))
            with pytest.raises(ConnectionRefusedError):
                netns.ask_tcp("::1", 8080)

    netns.run_in_new_host(body)


def test_a_port_on_one_address_is_on_no_other(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack, neighbour() as outside:
            web, _ = attach(stack, tmp_path, "web", "127.0.0.1:8080:80", f"{LAN_HOST}:8081:80")
            stack.enter_context(netns.tcp_server(web, 80, "web"))
            assert netns.ask_tcp("127.0.0.1", 8080).startswith("web ")
            assert call_in_netns(outside, lambda: netns.ask_tcp(LAN_HOST, 8081)).startswith("web")
            for address, port in (("127.0.0.1", 8081), (LAN_HOST, 8080), (LAN6_HOST, 8081)):
                with pytest.raises(ConnectionRefusedError):
                    netns.ask_tcp(address, port)
            with pytest.raises(ConnectionRefusedError):
                call_in_netns(outside, lambda: netns.ask_tcp(LAN_HOST, 8080))

    netns.run_in_new_host(body)


def test_ranges_with_the_same_and_with_other_numbers(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            web, _ = attach(stack, tmp_path, "web", "7000-7002:7000-7002", "8000-8002:9000-9002")
            for port in (7000, 7001, 7002, 9000, 9001, 9002):
                stack.enter_context(netns.tcp_server(web, port, f"at {port}"))
            for outside, inside in ((7000, 7000), (7002, 7002), (8000, 9000), (8002, 9002)):
                assert netns.ask_tcp("127.0.0.1", outside).startswith(f"at {inside} ")

    netns.run_in_new_host(body)


def test_containers_get_out_under_the_hosts_address(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack, neighbour() as outside:
            web, _ = attach(stack, tmp_path, "web")
            stack.enter_context(netns.tcp_server(outside, 80, "world"))
            for there, host in ((LAN_NEIGHBOUR, LAN_HOST), (LAN6_NEIGHBOUR, LAN6_HOST)):
                said = call_in_netns(web, lambda at=there: netns.ask_tcp(at, 80))
                assert said == f"world {host}"

    netns.run_in_new_host(body)


def test_the_neighbourhood_does_not_get_in_by_a_route(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack, neighbour() as outside:
            web, had = attach(stack, tmp_path, "web")
            elsewhere, _ = attach(stack, tmp_path, "elsewhere", net="bridge:other0")
            stack.enter_context(netns.tcp_server(web, 80, "web"))
            for asker in (outside, elsewhere):
                for address in (had.ipv4 or "", had.ipv6 or ""):
                    with pytest.raises(TimeoutError):
                        call_in_netns(asker, lambda at=address: netns.ask_tcp(at, 80, 0.3))

    netns.run_in_new_host(body)


def test_without_nat_the_host_only_routes(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack, neighbour() as outside:
            web, had = attach(stack, tmp_path, "web", net="bridge,nat=no")
            stack.enter_context(netns.tcp_server(web, 80, "web"))
            assert nft.names() == []
            said = call_in_netns(outside, lambda: netns.ask_tcp(had.ipv4 or "", 80))
            assert said == f"web {LAN_NEIGHBOUR}"
            with pytest.raises(UsageError, match="since it has nat=no"):
                attach(stack, tmp_path, "second", "8080:80")

    netns.run_in_new_host(body)


def test_a_container_does_not_reach_what_listens_on_the_hosts_loopback(tmp_path: Path) -> None:
    """CVE-2020-8558: with route_localnet a neighbour's packets for 127.0.0.1 come through."""

    def body() -> None:
        with contextlib.ExitStack() as stack:
            evil, had = attach(stack, tmp_path, "evil", "8080:80")
            assert netns.read_sysctl("ipv4/conf/pyinit0/route_localnet") == "1"
            bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            bound.bind(("127.0.0.1", 9999))
            bound.settimeout(0.3)
            call_in_netns(evil, lambda: _send_to_foreign_loopback(had.gateway4 or ""))
            with pytest.raises(TimeoutError):
                bound.recv(10)
            nft.remove("pyinit-bridge-pyinit0")
            call_in_netns(evil, lambda: _send_to_foreign_loopback(had.gateway4 or ""))
            assert bound.recv(10) == b"evil", "the attack itself no longer works"

    netns.run_in_new_host(body)


def _send_to_foreign_loopback(gateway: str) -> None:
    """A frame to the gateway's MAC address with a destination of 127.0.0.1."""
    Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1")
    with IPRoute() as ip:
        index = ip.link("get", ifname="eth0")[0]["index"]
        ip.flush_routes(table=255, family=socket.AF_INET, oif=1)
        ip.route("replace", dst="127.0.0.1/32", gateway=gateway, oif=index)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.sendto(b"evil", ("127.0.0.1", 9999))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("8080:80", "8080:81"),
        ("8080:80", "127.0.0.1:8080:81"),
        ("8000-8100:8000-8100", "8080:80"),
        ("[::]:8080:80", "8080:80"),
    ],
)
def test_a_port_is_published_once(tmp_path: Path, first: str, second: str) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            attach(stack, tmp_path, "one", first)
            with pytest.raises(InUse, match="published by one already"):
                attach(stack, tmp_path, "two", second, net="bridge:other0")
            assert netns.interfaces() == {"lo", "pyinit0", "v-one"}
            attach(stack, tmp_path, "three", "9999:80", "8080:80/udp")

    netns.run_in_new_host(body)


def test_a_port_that_the_host_listens_on_is_refused(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 8080)))
            with pytest.raises(InUse, match="a process of this host has port 8080 already"):
                attach(stack, tmp_path, "web", "8080:80")
            with pytest.raises(UsageError, match="this host has no address"):
                attach(stack, tmp_path, "web", "198.51.100.7:8081:80")
            with pytest.raises(UsageError, match="no IPv6 network"):
                attach(stack, tmp_path, "web", "[::]:8081:80", net="bridge,subnet6=none")
            listening.close()
            attach(stack, tmp_path, "web", "8080:80")
        assert netns.interfaces() == {"lo"}

    netns.run_in_new_host(body)


def test_rules_that_somebody_flushed_come_back_with_the_next_container(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            attach(stack, tmp_path, "one", "8080:80")
            for name in nft.names():
                nft.remove(name)
            attach(stack, tmp_path, "two")
            assert nft.names() == ["pyinit-bridge-pyinit0"]
        assert nft.names() == []

    netns.run_in_new_host(body)


def test_a_bridge_of_somebody_elses_is_joined_and_left_alone(tmp_path: Path) -> None:
    def body() -> None:
        with IPRoute() as ip:
            ip.link("add", ifname="lan0", kind="bridge")
        with contextlib.ExitStack() as stack:
            with pytest.raises(UsageError, match="has no address"):
                attach(stack, tmp_path, "web", net="bridge:lan0")
            _address("lan0", LAN_HOST, LAN6_HOST)
            with pytest.raises(UsageError, match="since pyinit did not make it"):
                attach(stack, tmp_path, "web", "8080:80", net="bridge:lan0")
            web, had = attach(stack, tmp_path, "web", net="bridge:lan0,ip=192.0.2.77")
            assert had.gateways == [LAN_HOST, LAN6_HOST]
            stack.enter_context(netns.tcp_server(web, 80, "web"))
            assert netns.ask_tcp("192.0.2.77", 80) == f"web {LAN_HOST}"
            assert nft.names() == []
        assert netns.interfaces() == {"lo", "lan0"}

    netns.run_in_new_host(body)


def test_a_udp_client_that_never_pauses_reaches_the_next_container(tmp_path: Path) -> None:
    """moby#8795: the kernel remembers its conversation with the one before, or with nobody."""

    def body() -> None:
        with contextlib.ExitStack() as stack, neighbour():
            clients = [stack.enter_context(_udp_client(at)) for at in (LAN_HOST, LAN6_HOST)]
            _send_unheard(clients)
            for name in ("one", "two"):
                with contextlib.ExitStack() as alive:
                    inside, had = attach(alive, tmp_path, name, "5353:53/udp")
                    for address, client in zip((had.ipv4, had.ipv6), clients, strict=True):
                        with netns.udp_server(inside, 53, name, address or ""):
                            client.send(b"?")
                            assert client.recv(10) == name.encode()
                _send_unheard(clients)

    netns.run_in_new_host(body)


def _udp_client(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.settimeout(netns.PATIENCE)
    client.connect((address, 5353))
    return client


def _send_unheard(clients: list[socket.socket]) -> None:
    for client in clients:
        client.send(b"?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(10)


def test_published_values_survive_the_record() -> None:
    assert parse_publish("8080:80") == Publish(host_port=8080, container_port=80)
