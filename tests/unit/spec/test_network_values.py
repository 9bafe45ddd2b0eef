"""What --net, -p, --add-host, --dns and `net add` accept, and what they say to the rest."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import UsageError
from pyinit.spec import network as values
from pyinit.spec import network_options as options


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("none", values.NoNetwork()),
        ("private", values.NoNetwork()),
        ("host", values.HostNetwork()),
        ("container:web", values.ContainerNetwork("web")),
        ("ns:/run/netns/a", values.PathNetwork("/run/netns/a")),
        ("/run/netns/a", values.PathNetwork("/run/netns/a")),
        ("bridge", values.BridgeNetwork()),
        ("bridge:br7", values.BridgeNetwork(name="br7")),
        ("bridge,nat=no,subnet6=none", values.BridgeNetwork(nat=False, subnet6="none")),
        ("bridge:ip=10.4.0.9", values.BridgeNetwork(ip="10.4.0.9")),
        (
            "bridge:br7,subnet=10.4.0.0/24,subnet6=fd00:4::/64,ip6=fd00:4::9,mac=02:00:00:00:AA:01",
            values.BridgeNetwork(
                name="br7",
                subnet="10.4.0.0/24",
                subnet6="fd00:4::/64",
                ip6="fd00:4::9",
                mac="02:00:00:00:aa:01",
            ),
        ),
    ],
)
def test_networks_that_are_understood(text: str, value: values.Network) -> None:
    assert options.parse_network(text) == value
    encoded = msgspec.json.encode(value)
    assert msgspec.json.decode(encoded, type=values.Network) == value


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "give none, host"),
        ("wifi", "give none, host"),
        ("none:", "give none, host"),
        ("host:x", "give none, host"),
        ("container:", "empty"),
        ("ns:relative", "begins with /"),
        ("bridge:", "name follows"),
        ("bridge:br/7", "no name for an interface"),
        ("bridge:sixteen-letters-", "at most 15"),
        ("bridge,colour=red", "no option 'colour'"),
        ("bridge,nat", "not KEY=VALUE"),
        ("bridge,nat=", "not KEY=VALUE"),
        ("bridge,ip=10.0.0.2,ip=10.0.0.3", "twice"),
        ("bridge,nat=1", "yes or no"),
        ("bridge,subnet=10.0.0.1/24", "host bits"),
        ("bridge,subnet=10.0.0.0", "prefix length"),
        ("bridge,subnet=fd00::/64", "no IPv4 network"),
        ("bridge,subnet6=10.0.0.0/24", "no IPv6 network"),
        ("bridge,subnet=10.0.0.0/31", "no room"),
        ("bridge,subnet=127.0.0.0/24", "not for a bridge"),
        ("bridge,subnet=224.0.0.0/24", "not for a bridge"),
        ("bridge,subnet6=fe80::/64", "not for a bridge"),
        ("bridge,ip=fd00::2", "no IPv4 address"),
        ("bridge,ip6=fd00::2%eth0", "names an interface"),
        ("bridge,ip6=fd00::2,subnet6=none", "for none"),
        ("bridge,mac=02:00", "no MAC address"),
        ("bridge,mac=01:00:5e:00:00:01", "multicast"),
    ],
)
def test_networks_that_are_refused(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        options.parse_network(text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said", "families"),
    [
        ("8080:80", "8080:80/tcp", (4, 6)),
        ("53:53/udp", "53:53/udp", (4, 6)),
        ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp", (4,)),
        ("0.0.0.0:8080:80", "0.0.0.0:8080:80/tcp", (4,)),
        ("[::]:8080:80/tcp", "[::]:8080:80/tcp", (6,)),
        ("[fd00::1]:8080-8089:80-89", "[fd00::1]:8080-8089:80-89/tcp", (6,)),
        ("1-65535:1-65535", "1-65535:1-65535/tcp", (4, 6)),
    ],
)
def test_ports_that_are_understood(text: str, said: str, families: tuple[int, ...]) -> None:
    publish = options.parse_publish(text)
    assert str(publish) == said
    assert publish.families == families
    assert options.parse_publish(said) == publish


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("80", "host's port first"),
        ("80:80/", "host's port first"),
        ("80:80/sctp", "tcp or udp"),
        ("a:80", "no port"),
        ("-1:80", "no port"),
        ("9-1:9-1", "no port"),
        ("²:80", "no port"),
        ("9" * 5000 + ":80", "no port"),
        ("0:80", "1 to 65535"),
        ("80:65536", "1 to 65535"),
        ("1-3:1-4", "3 ports outside and 4 inside"),
        ("1-300:1001-1300", "at most 256"),
        (":80:80", "IP"),
        ("host:80:80", "IP"),
        ("::1:80:80", "brackets"),
        ("[::1:80:80", "']:'"),
        ("[::1]:80:80", "does not translate ::1"),
        ("[fe80::1%eth0]:80:80", "names an interface"),
    ],
)
def test_ports_that_are_refused(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        options.parse_publish(text)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("80:1", "80:2", True),
        ("80:1", "81:1", False),
        ("80:1", "80:1/udp", False),
        ("80-90:80-90", "85:1", True),
        ("127.0.0.1:80:1", "80:1", True),
        ("127.0.0.1:80:1", "0.0.0.0:80:1", True),
        ("127.0.0.1:80:1", "127.0.0.2:80:1", False),
        ("127.0.0.1:80:1", "[::]:80:1", False),
        ("[::]:80:1", "[fd00::1]:80:1", True),
    ],
)
def test_overlap_goes_both_ways(one: str, other: str, overlap: bool) -> None:
    first, second = options.parse_publish(one), options.parse_publish(other)
    assert first.overlaps(second) is overlap
    assert second.overlaps(first) is overlap


@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text: str) -> None:
    for parse in (
        options.parse_network,
        options.parse_publish,
        options.parse_device,
        options.parse_host_entry,
        options.parse_nameserver,
        options.parse_search_domain,
    ):
        for form in (text, f"bridge:{text}", f"macvlan:{text}", f"{text}:80:80", f"a:{text}"):
            with contextlib.suppress(UsageError):
                parse(form)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("bridge:br7,ip=10.4.0.9", values.BridgeNetwork(name="br7", ip="10.4.0.9")),
        ("macvlan:eth0,ip=192.0.2.7/24", values.Macvlan("eth0", "192.0.2.7/24")),
        ("ipvlan:eth0", values.Ipvlan("eth0")),
        ("dummy,ip6=fd00::7/64", values.Dummy(None, "fd00::7/64")),
        ("move:eth1", values.Moved("eth1")),
    ],
)
def test_devices_that_are_understood(
    text: str, value: values.BridgeNetwork | values.Device
) -> None:
    assert options.parse_device(text) == value


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("macvlan", "give bridge"),
        ("dummy:x", "give bridge"),
        ("tap:x", "give bridge"),
        ("macvlan:eth0,ip=192.0.2.7", "prefix length"),
        ("macvlan:eth0,ip=fd00::7/64", "no IPv4"),
        ("dummy,mtu=9", "no option 'mtu'"),
        ("bridge,nat=maybe", "yes or no"),
    ],
)
def test_devices_that_are_refused(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        options.parse_device(text)
    assert part in str(caught.value)


def test_entries_for_hosts_and_resolvers() -> None:
    assert options.parse_host_entry("db:10.0.0.7") == values.HostEntry("db", "10.0.0.7")
    assert options.parse_host_entry("db:[fd00::7]") == values.HostEntry("db", "fd00::7")
    assert options.parse_host_entry("up:host-gateway") == values.HostEntry("up", "host-gateway")
    assert options.parse_nameserver("FD00::1") == "fd00::1"
    assert options.parse_search_domain(".") == "."
    for parse, text in (
        (options.parse_host_entry, "db"),
        (options.parse_host_entry, "d b:10.0.0.7"),
        (options.parse_host_entry, "db:nowhere"),
        (options.parse_nameserver, "resolver.example"),
        (options.parse_search_domain, "two words"),
    ):
        with pytest.raises(UsageError):
            parse(text)
