"""Where to listen and where to connect: numeric hosts only, because PID 1 resolves no names.

Each parser raises ValueError with a message for the author of the file.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import NamedTuple

_STREAM, _DATAGRAM = int(socket.SOCK_STREAM), int(socket.SOCK_DGRAM)
# struct sockaddr_un has room for 108 bytes with the NUL (unix(7)).
_LONGEST_PATH = 107


class Address(NamedTuple):
    """What socket(2) and bind(2) or connect(2) take."""

    family: int
    kind: int
    name: tuple[str, int] | str


class Url(NamedTuple):
    """An address, the path to ask for there, and what goes into the Host header."""

    address: Address
    target: str
    host: str


def listen_address(text: str) -> Address:
    """The address in "tcp:HOST:PORT", "udp:HOST:PORT", "unix:PATH" or "unix-dgram:PATH"."""
    scheme, _, rest = text.partition(":")
    if scheme in ("tcp", "udp"):
        kind = _STREAM if scheme == "tcp" else _DATAGRAM
        return _inet(rest, kind)
    if scheme in ("unix", "unix-dgram"):
        return Address(socket.AF_UNIX, _STREAM if scheme == "unix" else _DATAGRAM, _path(rest))
    raise ValueError(f'expected "tcp:HOST:PORT", "udp:HOST:PORT" or "unix:PATH", got {text!r}')


def check_address(text: str) -> Address:
    """The TCP address in "PORT" (on localhost) or "HOST:PORT"."""
    return _inet(f"127.0.0.1:{text}" if text.isdigit() else text, _STREAM)


def url_address(text: str) -> Url:
    """Where a "http://HOST[:PORT]/PATH" leads."""
    if not text.startswith("http://"):
        raise ValueError(f'expected "http://HOST:PORT/PATH", got {text!r}')
    host, slash, target = text.removeprefix("http://").partition("/")
    if any(mark <= " " or mark == "\x7f" for mark in text) or not text.isascii():
        raise ValueError(f"a URL holds no blanks and ASCII only, got {text!r}")
    with_port = host if host.rpartition(":")[2].isdigit() and not host.endswith("]") else None
    return Url(_inet(with_port or f"{host}:80", _STREAM), slash + target or "/", host)


def _path(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise ValueError(f"expected an absolute path, got {text!r}")
    if len(text.encode()) > _LONGEST_PATH:
        raise ValueError(f"a socket's path has at most {_LONGEST_PATH} bytes")
    return text


def _inet(text: str, kind: int) -> Address:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise ValueError(f'expected "HOST:PORT" with a port of 1 to 65535, got {text!r}')
    if host == "localhost":
        host = "127.0.0.1"
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError(f"expected a numeric address or localhost, got {host!r}") from None
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return Address(family, kind, (str(address), int(port)))
