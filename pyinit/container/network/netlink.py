"""One routing socket, and the kernel's answers on it as this project's errors.

pyroute2 takes 165 ms to import and belongs on the host side only, so it is imported when the
first bridge or device is really wanted.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyinit.errors import PyinitError, SystemFault, Unsupported

IFA_F_NODAD = 0x02
AF_INET6 = 10

_WITHOUT_PRIVILEGE = "use --net none, whose ports are reached through the control socket, or host"


@contextmanager
def routes() -> Iterator[Any]:
    """A pyroute2 IPRoute in the calling thread's network namespace, closed at the end."""
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        yield ip


@contextmanager
def asking(doing: str) -> Iterator[None]:
    """Turn what the kernel says no to into SystemFault, or Unsupported without privilege."""
    from pyroute2 import NetlinkError

    try:
        yield
    except NetlinkError as error:
        raise fault(doing, OSError(error.code, _reason(error))) from None
    except OSError as error:
        raise fault(doing, error) from None


def fault(doing: str, error: OSError) -> PyinitError:
    """The error to raise when the network refused `doing`."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return Unsupported(f"{doing}: needs root on the host; {_WITHOUT_PRIVILEGE}")
    if error.errno == errno.EROFS:
        return Unsupported(f"{doing}: /proc/sys is read-only here; use --net none or host")
    return SystemFault(doing, error)


def find_link(ip: Any, name: str) -> Any | None:
    """The link called `name` as pyroute2 gives it, or None."""
    from pyroute2 import NetlinkError

    try:
        return ip.link("get", ifname=name)[0]
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def alias_of(link: Any) -> str:
    """What IFLA_IFALIAS says, "" without one: pyinit marks there what it made."""
    return link.get_attr("IFLA_IFALIAS") or ""


def delete_link(ip: Any, link: Any) -> None:
    """Delete a link; one that is gone already (its namespace died) is as good."""
    from pyroute2 import NetlinkError

    try:
        ip.link("del", index=link["index"])
    except NetlinkError as error:
        if error.code not in (errno.ENODEV, errno.ENOENT):
            raise


def add_address(ip: Any, index: int, address: str) -> None:
    """Give an interface an address such as 10.0.0.2/24; IPv6 is usable at once, without DAD."""
    where, _, length = address.partition("/")
    flags = {"flags": IFA_F_NODAD} if ":" in where else {}
    ip.addr("replace", index=index, address=where, prefixlen=int(length), **flags)


def _reason(error: Any) -> str:
    return str(error.args[1]) if len(error.args) > 1 else str(error)
