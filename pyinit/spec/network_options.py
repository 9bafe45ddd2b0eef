"""The command line's forms of network values: podman's, where podman has the option."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from pyinit.errors import UsageError
from pyinit.spec.network import (
    DEFAULT_BRIDGE,
    BridgeNetwork,
    ContainerNetwork,
    Device,
    Dummy,
    HostEntry,
    HostNetwork,
    Ipvlan,
    Macvlan,
    Moved,
    Network,
    NoNetwork,
    PathNetwork,
    Publish,
    is_host_name,
    parse_address,
)

_PORT = re.compile(r"[0-9]{1,5}")

Value = TypeVar("Value", bound=msgspec.Struct)


def parse_network(text: str) -> Network:
    """The value of `--net`: none, host, bridge[:NAME][,KEY=VALUE…], container:NAME, ns:PATH, /PATH.

    `private` is none as well. A bridge's keys are subnet, subnet6, ip, ip6, mac and nat. Raises
    UsageError.
    """
    mode, colon, rest = text.partition(":")
    if text.startswith("/"):
        return _made("--net", text, PathNetwork, path=text)
    if mode == "ns":
        return _made("--net", text, PathNetwork, path=rest)
    if mode == "container":
        return _made("--net", text, ContainerNetwork, name=rest)
    if not colon and text in ("none", "private", "host"):
        return HostNetwork() if text == "host" else NoNetwork()
    if mode.partition(",")[0] == "bridge":
        return _parse_bridge("--net", text)
    raise UsageError(
        f"--net {text!r}: give none, host, bridge[:NAME], container:NAME, or a namespace's path"
    )


def parse_device(text: str) -> BridgeNetwork | Device:
    """What `net add` adds: bridge…, macvlan:PARENT, ipvlan:PARENT, dummy, move:INTERFACE.

    All take `,ip=ADDRESS/LENGTH` and `,ip6=…`; a bridge takes what `--net` takes.
    Raises UsageError.
    """
    kind, _, first, options = _split_options(text)
    if kind == "bridge":
        return _parse_bridge("interface", text)
    makers: dict[str, type[Device]] = {"macvlan": Macvlan, "ipvlan": Ipvlan, "move": Moved}
    if kind in makers and first:
        subject = "name" if kind == "move" else "parent"
        return _made("interface", text, makers[kind], **{subject: first}, **options)
    if kind == "dummy" and not first:
        return _made("interface", text, Dummy, **options)
    raise UsageError(
        f"interface {text!r}: give bridge[:NAME], macvlan:PARENT, ipvlan:PARENT, dummy"
        " or move:INTERFACE"
    )


def parse_publish(text: str) -> Publish:
    """The value of `-p`: [IP:]PORT:PORT[/tcp|/udp], with ranges A-B and IPv6 in brackets.

    Raises UsageError.
    """
    ports, slash, protocol = text.partition("/")
    address, sides = _split_publish(ports)
    if len(sides) != 2 or (slash and not protocol):
        raise UsageError(f"-p {text!r}: give [IP:]PORT:PORT[/udp], the host's port first")
    (outside, count), (inside, inside_count) = (_parse_ports(text, side) for side in sides)
    if count != inside_count:
        raise UsageError(f"-p {text!r}: {count} ports outside and {inside_count} inside")
    if (protocol or "tcp") not in ("tcp", "udp"):
        raise UsageError(f"-p {text!r}: the protocol is tcp or udp, not {protocol!r}")
    return _made(
        "-p",
        text,
        Publish,
        host_port=outside,
        container_port=inside,
        count=count,
        protocol=protocol or "tcp",
        host_ip=address,
    )


def parse_host_entry(text: str) -> HostEntry:
    """The value of `--add-host`: NAME:ADDRESS, or NAME:host-gateway. Raises UsageError."""
    name, colon, address = text.partition(":")
    if not colon:
        raise UsageError(f"--add-host {text!r}: give NAME:ADDRESS")
    return _made("--add-host", text, HostEntry, name=name, address=address.strip("[]"))


def parse_nameserver(text: str) -> str:
    """The value of `--dns`: one IP address, in its usual form. Raises UsageError."""
    try:
        return str(parse_address(text))
    except ValueError:
        raise UsageError(f"--dns {text!r}: give the IP address of a name server") from None


def parse_search_domain(text: str) -> str:
    """The value of `--dns-search`: a domain, or "." for none at all. Raises UsageError."""
    if text == "." or is_host_name(text):
        return text
    raise UsageError(f"--dns-search {text!r}: give a domain, or . for none")


def _parse_bridge(option: str, text: str) -> BridgeNetwork:
    _, colon, name, options = _split_options(text)
    if colon and not name and not options:
        raise UsageError(f"{option} {text!r}: a bridge's name follows the colon")
    nat = options.pop("nat", "yes")
    if nat not in ("yes", "no"):
        raise UsageError(f"{option} {text!r}: nat is yes or no, not {nat!r}")
    if "mac" in options:
        options["mac"] = options["mac"].lower()
    chosen = name or DEFAULT_BRIDGE
    return _made(option, text, BridgeNetwork, name=chosen, nat=nat == "yes", **options)


def _split_options(text: str) -> tuple[str, str, str, dict[str, str]]:
    """kind[:first][,key=value…], and podman's kind:key=value… as well."""
    head, *pieces = text.split(",")
    kind, colon, first = head.partition(":")
    if "=" in first:
        pieces.insert(0, first)
        first = ""
    options: dict[str, str] = {}
    for piece in pieces:
        key, equals, value = piece.partition("=")
        if not equals or not key or not value or key in options:
            raise UsageError(f"{text!r}: {piece!r} is not KEY=VALUE, or is there twice")
        options[key] = value
    return kind, colon, first, options


def _split_publish(text: str) -> tuple[str | None, list[str]]:
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]:")
        if not bracket:
            raise UsageError(f"-p {text!r}: an IPv6 address ends with ']:'")
        return address, rest.split(":")
    sides = text.split(":")
    if len(sides) > 3:
        raise UsageError(f"-p {text!r}: an IPv6 address goes in brackets, [::]:80:80")
    return (sides[0], sides[1:]) if len(sides) == 3 else (None, sides)


def _parse_ports(text: str, side: str) -> tuple[int, int]:
    first, dash, last = side.partition("-")
    numbers = (first, last) if dash else (first, first)
    if not all(map(_PORT.fullmatch, numbers)) or int(numbers[1]) < int(numbers[0]):
        raise UsageError(f"-p {text!r}: {side!r} is no port and no range of ports")
    return int(numbers[0]), int(numbers[1]) - int(numbers[0]) + 1


def _made(option: str, text: str, maker: type[Value], **fields: object) -> Value:
    unknown = [name for name in fields if name not in maker.__struct_fields__]
    if unknown:
        raise UsageError(f"{option} {text!r}: there is no option {unknown[0]!r} here")
    try:
        return maker(**fields)
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: {error}") from None
