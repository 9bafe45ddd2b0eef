"""The three ways to ask whether a service is healthy.

Each returns when it is, and raises Unwell with the reason when it is not. Plain sockets and
a GET of our own: http.client and getaddrinfo would import, and load NSS, after the pivot.
"""

from __future__ import annotations

import errno
import os
import socket

import trio

from pyinit.init.ports import Launch, Processes
from pyinit.spec.addresses import Address, check_address, url_address
from pyinit.spec.service import HttpCheck

# No server needs more for its status line.
_LONGEST_LINE = 8192


class Unwell(Exception):
    """The check failed; the text says how."""


async def probe_exec(processes: Processes, launch: Launch) -> None:
    """Run a command; it is killed with all that belongs to it when nobody waits any longer."""
    process = await processes.spawn(launch)
    try:
        status = await process.wait()
    finally:
        process.kill_all()
    if status.signal is not None:
        raise Unwell(f"killed by signal {status.signal}")
    if status.code:
        raise Unwell(f"exited with {status.code}")


async def probe_tcp(address: str) -> None:
    """Connect to "PORT" or "HOST:PORT"."""
    (await _connect(check_address(address))).close()


async def probe_http(check: HttpCheck) -> None:
    """GET the URL, and look at the status of the answer."""
    url = url_address(check.url)
    lines = [f"GET {url.target} HTTP/1.0", *_headers(check, url.host)]
    stream = await _connect(url.address)
    try:
        await _send(stream, ("\r\n".join(lines) + "\r\n\r\n").encode())
        status = parse_status(await _first_line(stream))
    finally:
        stream.close()
    if not (status == check.status if check.status else 200 <= status < 400):
        raise Unwell(f"answered {status}")


def _headers(check: HttpCheck, host: str) -> list[str]:
    given = {key.lower() for key in check.headers}
    usual = {"Host": host, "User-Agent": "pyinit", "Connection": "close"}
    added = {key: value for key, value in usual.items() if key.lower() not in given}
    return [f"{key}: {value}" for key, value in (added | check.headers).items()]


def parse_status(line: bytes) -> int:
    """The status in "HTTP/1.1 200 OK". Raises Unwell."""
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise Unwell("the answer is not HTTP")
    return int(words[1][:4])


async def _connect(address: Address) -> socket.socket:
    stream = socket.socket(
        address.family, address.kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    )
    try:
        error = stream.connect_ex(address.name)
        if error == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(stream.fileno())
            error = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise Unwell(os.strerror(error).lower())
    except BaseException:
        stream.close()
        raise
    return stream


async def _send(stream: socket.socket, data: bytes) -> None:
    while data:
        await trio.lowlevel.wait_writable(stream.fileno())
        try:
            data = data[stream.send(data) :]
        except BlockingIOError:
            continue
        except OSError as error:
            raise Unwell((error.strerror or "send failed").lower()) from None


async def _first_line(stream: socket.socket) -> bytes:
    data = b""
    while b"\n" not in data and len(data) < _LONGEST_LINE:
        await trio.lowlevel.wait_readable(stream.fileno())
        try:
            part = stream.recv(_LONGEST_LINE)
        except BlockingIOError:
            continue
        except OSError as error:
            raise Unwell((error.strerror or "no answer").lower()) from None
        if not part:
            raise Unwell("no answer")
        data += part
    return data.partition(b"\n")[0]
