"""A host of its own for a test of the network: a forked child in fresh namespaces.

Nothing in here can reach the machine's own interfaces, routes, rules or settings: these are
the namespace's, and /proc/sys/net follows the namespace of the thread that opens it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from pyinit.linux import libc, netdev
from pyinit.linux.netns import call_in_netns

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
PATIENCE = 10.0


def run_in_new_host(body: Callable[[], None]) -> None:
    """Run `body` in a child with network and mount namespaces of its own; its failure is ours."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(_child(body, writing))
    os.close(writing)
    with open(reading, encoding="utf-8", closefd=True) as report:
        said = report.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"in a host of its own (status {status}):\n{said}"


def _child(body: Callable[[], None], writing: int) -> int:
    with open(writing, "w", encoding="utf-8") as report:
        try:
            libc.syscall(libc.SYS_UNSHARE, CLONE_NEWNET | CLONE_NEWNS)
            netdev.loopback_up()
            body()
        except BaseException:
            report.write(traceback.format_exc())
            return 1
        return 0


def new_netns() -> int:
    """A descriptor of a new network namespace, with lo up, as a container's init leaves it."""
    return _in_thread(_new_netns)


def _new_netns() -> int:
    libc.syscall(libc.SYS_UNSHARE, CLONE_NEWNET)
    netdev.loopback_up()
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _in_thread(function: Callable[[], int]) -> int:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@contextlib.contextmanager
def tcp_server(netns: int, port: int, text: str) -> Iterator[None]:
    """Inside `netns`, every connection to `port` is sent `text` and the asker's address."""

    def listen() -> socket.socket:
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)

    listening = call_in_netns(netns, listen)
    serving = threading.Thread(target=_serve_tcp, args=(listening, text), daemon=True)
    serving.start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        serving.join()
        listening.close()


def _serve_tcp(listening: socket.socket, text: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, address = listening.accept()
            with connection:
                connection.sendall(f"{text} {address[0].removeprefix('::ffff:')}".encode())


@contextlib.contextmanager
def udp_server(netns: int, port: int, text: str, address: str = "0.0.0.0") -> Iterator[None]:
    """Inside `netns`, every datagram to `port` is answered with `text`."""
    bound = call_in_netns(netns, lambda: _udp_socket(address, port))
    serving = threading.Thread(target=_serve_udp, args=(bound, text), daemon=True)
    serving.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            bound.shutdown(socket.SHUT_RDWR)
        serving.join()
        bound.close()


def _udp_socket(address: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind((address, port))
    return bound


def _serve_udp(bound: socket.socket, text: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            asked, address = bound.recvfrom(100)
            if not asked:
                return
            bound.sendto(text.encode(), address)


def ask_tcp(address: str, port: int, patience: float = PATIENCE) -> str:
    """What a server says to a connection made here."""
    with socket.create_connection((address, port), timeout=patience) as connection:
        return connection.makefile().read()


def ask_udp(address: str, port: int) -> str:
    """What a server answers to a datagram sent from here."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(PATIENCE)
        asking.sendto(b"?", (address, port))
        return asking.recv(100).decode()


def interfaces() -> set[str]:
    """The names of the calling thread's network namespace's interfaces."""
    return {name for _, name in socket.if_nameindex()}


def read_sysctl(key: str) -> str:
    return Path("/proc/sys/net", key).read_text().strip()
