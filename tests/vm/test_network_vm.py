"""The network on a kernel with every kind of link, and with no nftables for IPv4 and IPv6."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from pyinit.container import network
from pyinit.errors import Unsupported
from pyinit.linux.netns import call_in_netns
from pyinit.spec.network import BridgeNetwork
from tests.support import netns
from tests.system.network.test_devices import (  # noqa: F401
    test_a_device_comes_with_its_addresses_and_goes,
    test_a_moved_interface_comes_back_under_its_name,
)

pytestmark = pytest.mark.vm


def test_no_nftables_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def body() -> None:
        with contextlib.ExitStack() as stack, pytest.raises(Unsupported) as caught:
            network.attach(stack, "web", netns.new_netns(), BridgeNetwork(), folder=tmp_path)
        assert "no nftables with NAT" in str(caught.value)
        assert "use --net bridge,nat=no" in str(caught.value)
        assert netns.interfaces() == {"lo"}
        assert list(tmp_path.glob("*.json")) == []

    netns.run_in_new_host(body)


def test_a_bridge_without_nat_works_there(tmp_path: Path) -> None:
    def body() -> None:
        routed = BridgeNetwork(nat=False)
        with contextlib.ExitStack() as stack:
            web, db = netns.new_netns(), netns.new_netns()
            a = network.attach(stack, "web", web, routed, folder=tmp_path)
            b = network.attach(stack, "db", db, routed, folder=tmp_path)
            with netns.tcp_server(db, 5432, "db"):
                for address, asker in ((b.ipv4, a.ipv4), (b.ipv6, a.ipv6)):
                    said = call_in_netns(web, lambda at=address: netns.ask_tcp(at, 5432))
                    assert said == f"db {asker}"
        assert netns.interfaces() == {"lo"}
        assert list(tmp_path.glob("*.json")) == []

    netns.run_in_new_host(body)
