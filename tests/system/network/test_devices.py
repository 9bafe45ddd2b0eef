"""Interfaces that come to a running container and go from it."""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path

import pytest
from pyroute2 import IPRoute, NetlinkError

from pyinit.container import network
from pyinit.container.network import devices
from pyinit.errors import InUse, NotFound, PyinitError, Unsupported
from pyinit.linux.netns import call_in_netns
from pyinit.spec.network import BridgeNetwork, Device
from pyinit.spec.network_options import parse_device
from tests.support import netns

pytestmark = pytest.mark.root


def add_link(name: str) -> None:
    """A link that has a peer called far0, up."""
    with IPRoute() as ip:
        ip.link("add", ifname=name, kind="veth", peer={"ifname": "far0"})
        for end in (name, "far0"):
            ip.link("set", index=ip.link("get", ifname=end)[0]["index"], state="up")


def kernel_has(device: BridgeNetwork | Device) -> bool:
    """Tried apart from the code that is tested: a kernel need not have every kind of link."""
    kind = type(device).__name__.lower()
    of = {} if kind == "dummy" else {"link": socket.if_nametoindex("lan0")}
    with IPRoute() as ip:
        try:
            ip.link("add", ifname="probe0", kind=kind, **of)
        except NetlinkError as error:
            if error.code != errno.EOPNOTSUPP:
                raise
            return False
        ip.link("del", index=socket.if_nametoindex("probe0"))
    return True


@pytest.mark.parametrize("text", ["macvlan:lan0", "ipvlan:lan0", "dummy"])
def test_a_device_comes_with_its_addresses_and_goes(text: str, tmp_path: Path) -> None:
    def body() -> None:
        add_link("lan0")
        web = netns.new_netns()
        device = parse_device(f"{text},ip=192.0.2.7/24,ip6=2001:db8::7/64")
        if not kernel_has(device):
            with pytest.raises(Unsupported, match="this kernel has no"):
                network.add_interface(web, "web", device, folder=tmp_path)
            return
        added = network.add_interface(web, "web", device, folder=tmp_path)
        assert added == devices.Added("eth0")
        assert call_in_netns(web, netns.interfaces) == {"lo", "eth0"}
        with netns.tcp_server(web, 80, "web"):
            for address in ("192.0.2.7", "2001:db8::7"):
                said = call_in_netns(web, lambda at=address: netns.ask_tcp(at, 80))
                assert said == f"web {address}"
        network.del_interface(web, added, folder=tmp_path)
        network.del_interface(web, added, folder=tmp_path)
        assert call_in_netns(web, netns.interfaces) == {"lo"}
        assert netns.interfaces() == {"lo", "lan0", "far0"}

    netns.run_in_new_host(body)


def test_a_moved_interface_comes_back_under_its_name(tmp_path: Path) -> None:
    def body() -> None:
        add_link("lan0")
        web = netns.new_netns()
        device = parse_device("move:lan0,ip=192.0.2.7/24,ip6=2001:db8::7/64")
        added = network.add_interface(web, "web", device, interface="wan", folder=tmp_path)
        assert netns.interfaces() == {"lo", "far0"}
        assert call_in_netns(web, netns.interfaces) == {"lo", "wan"}
        with netns.tcp_server(web, 80, "web"):
            said = call_in_netns(web, lambda: netns.ask_tcp("2001:db8::7", 80))
            assert said == "web 2001:db8::7"
        network.del_interface(web, added, folder=tmp_path)
        network.del_interface(web, added, folder=tmp_path)
        assert netns.interfaces() == {"lo", "lan0", "far0"}

    netns.run_in_new_host(body)


def test_a_second_bridge_and_the_end_of_both(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack:
            web, db = netns.new_netns(), netns.new_netns()
            network.attach(stack, "web", web, BridgeNetwork(), folder=tmp_path)
            behind = BridgeNetwork(name="back0")
            there = network.attach(stack, "db", db, behind, folder=tmp_path)
            added = network.add_interface(web, "web", behind, folder=tmp_path)
            assert isinstance(added, network.Attachment)
            assert (added.owner, added.interface) == ("web/eth1", "eth1")
            with netns.tcp_server(db, 80, "db"):
                said = call_in_netns(web, lambda: netns.ask_tcp(there.ipv4 or "", 80))
                assert said == f"db {added.ipv4}"
            network.del_interface(web, added, folder=tmp_path)
            assert call_in_netns(web, netns.interfaces) == {"lo", "eth0"}
            network.add_interface(web, "web", behind, folder=tmp_path)
            assert network.clear({"db"}, folder=tmp_path) == ["web/eth1", "web"]
        assert netns.interfaces() == {"lo"}

    netns.run_in_new_host(body)


@pytest.mark.parametrize(
    ("text", "interface", "error", "part"),
    [
        ("macvlan:nowhere", "eth1", NotFound, "no interface nowhere"),
        ("move:nowhere", "eth1", NotFound, "no interface nowhere"),
        ("dummy", "lo", InUse, "has an interface lo already"),
        ("bridge", "lo", InUse, "has an interface lo already"),
        ("move:lo", "eth1", PyinitError, "add the interface eth1"),
        ("move:lan0,ip=192.0.2.7/24,ip6=ff02::1/64", "eth1", PyinitError, "set up eth1"),
    ],
)
def test_what_cannot_be_added_leaves_nothing(
    tmp_path: Path, text: str, interface: str, error: type[PyinitError], part: str
) -> None:
    def body() -> None:
        add_link("lan0")
        web = netns.new_netns()
        with pytest.raises(error) as caught:
            network.add_interface(
                web, "web", parse_device(text), interface=interface, folder=tmp_path
            )
        assert part in str(caught.value)
        assert call_in_netns(web, netns.interfaces) == {"lo"}
        assert netns.interfaces() == {"lo", "lan0", "far0"}

    netns.run_in_new_host(body)
