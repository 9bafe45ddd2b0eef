"""Which network a bridge gets, and which address a container."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.container.network import subnets
from pyinit.errors import InUse, UsageError


def test_a_network_that_overlaps_no_route() -> None:
    assert str(subnets.choose_ipv4([])) == "10.209.0.0/22"
    taken = [ipaddress.IPv4Network(text) for text in ("10.209.1.0/24", "10.209.4.0/22")]
    assert str(subnets.choose_ipv4(taken)) == "10.209.8.0/22"
    assert str(subnets.choose_ipv4([ipaddress.IPv4Network("10.0.0.0/8")])) == "172.27.0.0/22"


def test_no_such_network_is_said() -> None:
    with pytest.raises(UsageError, match="choose one with"):
        subnets.choose_ipv4([ipaddress.IPv4Network("0.0.0.0/0")])


def test_unique_local_networks_come_from_the_random_octets() -> None:
    assert str(subnets.choose_ipv6(b"\x12\x34\x56\x78\x9a")) == "fd12:3456:789a::/64"


def test_a_part_of_a_wider_route_may_be_given_to_a_bridge() -> None:
    wanted = ipaddress.ip_network("10.5.0.0/24")
    wide, narrow = ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("10.5.0.128/25")
    subnets.check_free(wanted, [wide, ipaddress.ip_network("fd00::/64")])
    for route in (wanted, narrow):
        with pytest.raises(UsageError, match="overlaps"):
            subnets.check_free(wanted, [wide, route])


@given(
    length=st.integers(min_value=24, max_value=30),
    given_back=st.lists(st.integers(min_value=0, max_value=400), max_size=60),
)
def test_addresses_are_given_once_until_none_is_left(length: int, given_back: list[int]) -> None:
    network = ipaddress.ip_network(f"10.1.0.0/{length}")
    taken: list[str] = [str(subnets.gateway(network))]
    last = 1
    for back in [*given_back, *[0] * network.num_addresses]:
        try:
            address = subnets.free_address(network, taken, last)
        except InUse:
            assert len(taken) == network.num_addresses - 2
            return
        assert address in network.hosts() or address in network
        assert str(address) not in taken
        taken.append(str(address))
        last = subnets.offset(str(address), network)
        if back and len(taken) > 1:
            taken.pop(1 + back % (len(taken) - 1))
    raise AssertionError("addresses never ran out")


def test_an_address_just_given_back_comes_last() -> None:
    network = ipaddress.ip_network("10.1.0.0/29")
    assert str(subnets.free_address(network, ["10.1.0.1"], 2)) == "10.1.0.3"
    assert str(subnets.free_address(network, ["10.1.0.1"], 6)) == "10.1.0.2"


@pytest.mark.parametrize("text", ["10.1.0.0", "10.1.0.7", "10.2.0.1", "fd00::1"])
def test_addresses_that_nobody_can_have(text: str) -> None:
    with pytest.raises(UsageError):
        subnets.check_asked(text, ipaddress.ip_network("10.1.0.0/29"))


def test_the_last_address_of_an_ipv6_network_is_one_like_any_other() -> None:
    subnets.check_asked("fd00::7", ipaddress.ip_network("fd00::/125"))
