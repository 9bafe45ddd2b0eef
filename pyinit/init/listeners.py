"""Sockets opened before a service starts and handed to it: socket activation."""

from __future__ import annotations

import os
import socket
import stat

from pyinit.errors import SystemFault
from pyinit.spec.addresses import Address, listen_address
from pyinit.spec.service import SocketSpec

FIRST = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


class Listeners:
    """The sockets of one service, in the order of its specification."""

    def __init__(self, specs: tuple[SocketSpec, ...]) -> None:
        """Open all of them or none. Raises SystemFault."""
        self._specs = specs
        self._sockets: list[socket.socket] = []
        try:
            for spec in specs:
                self._sockets.append(_open(spec))
        except BaseException:
            self.close()
            raise

    @property
    def descriptors(self) -> dict[int, int]:
        """The number that each has in the service, and its descriptor here."""
        return {FIRST + at: item.fileno() for at, item in enumerate(self._sockets)}

    @property
    def environment(self) -> dict[str, str]:
        """LISTEN_FDS and LISTEN_FDNAMES; LISTEN_PID is known to the child alone."""
        names = ":".join(spec.name or "unknown" for spec in self._specs)
        return {"LISTEN_FDS": str(len(self._sockets)), "LISTEN_FDNAMES": names}

    def close(self) -> None:
        """Close them, and take those with a path out of the file system."""
        for item in self._sockets:
            name = item.getsockname() if item.family == socket.AF_UNIX else None
            item.close()
            if isinstance(name, str):
                _unlink_socket(name)
        self._sockets.clear()


def _open(spec: SocketSpec) -> socket.socket:
    address = listen_address(spec.listen)
    try:
        item = socket.socket(address.family, address.kind | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise SystemFault(f"open a socket for {spec.listen}", error) from error
    try:
        _bind(item, address, spec.mode)
        if address.kind == socket.SOCK_STREAM:
            item.listen(spec.backlog)
    except OSError as error:
        item.close()
        raise SystemFault(f"listen on {spec.listen}", error) from error
    return item


def _bind(item: socket.socket, address: Address, mode: int) -> None:
    if isinstance(address.name, str):
        _unlink_socket(address.name)
        before = os.umask(0o777 & ~mode)
        try:
            item.bind(address.name)
        finally:
            os.umask(before)
        return
    item.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    item.bind(address.name)


def _unlink_socket(path: str) -> None:
    """Remove a socket that an earlier life left behind; anything else stays."""
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except OSError:
        return
