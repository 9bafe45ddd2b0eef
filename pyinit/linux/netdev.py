"""The flags of a network interface, by the old ioctls on any socket (netdevice(7)).

Enough for `lo`, and cheap: netlink is for the host side, which has more to say.
"""

from __future__ import annotations

import fcntl
import struct

from pyinit.linux import sockets as socket

SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
IFNAMSIZ = 16

# struct ifreq is 40 bytes on every 64-bit architecture: a name, then a union that begins
# with the flags.
_REQUEST = struct.Struct(f"{IFNAMSIZ}sh22x")


def loopback_up() -> None:
    """Bring `lo` up in the calling thread's network namespace; the kernel adds 127.0.0.1, ::1.

    Needs CAP_NET_ADMIN in the user namespace that owns the network namespace.
    Raises OSError, with the interface's name.
    """
    set_up("lo")


def set_up(interface: str) -> None:
    """Set IFF_UP and leave the other flags as they are. Raises OSError with the name in it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        flags = _flags(asking, interface)
        if not flags & IFF_UP:
            _ioctl(asking, SIOCSIFFLAGS, interface, flags | IFF_UP)


def is_up(interface: str) -> bool:
    """Whether IFF_UP is set. Raises OSError with the name in it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        return bool(_flags(asking, interface) & IFF_UP)


def _flags(asking: socket.socket, interface: str) -> int:
    flags: int = _REQUEST.unpack(_ioctl(asking, SIOCGIFFLAGS, interface, 0))[1]
    return flags


def _ioctl(asking: socket.socket, request: int, interface: str, flags: int) -> bytes:
    try:
        return fcntl.ioctl(asking, request, _REQUEST.pack(interface.encode(), flags))
    except OSError as error:
        raise OSError(error.errno, error.strerror, interface) from None
