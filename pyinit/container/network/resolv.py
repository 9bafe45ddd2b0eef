"""What a container finds in /etc/resolv.conf, /etc/hosts and /etc/hostname. Pure, save `host_…`."""

from __future__ import annotations

import contextlib
from _socket import AF_INET, AF_INET6, inet_pton
from collections.abc import Iterable, Sequence
from pathlib import Path

from pyinit.errors import UsageError
from pyinit.spec.network import HOST_GATEWAY, HostEntry

# resolved's stub listens on 127.0.0.53; the servers behind it are written here.
BEHIND_STUB = Path("/run/systemd/resolve/resolv.conf")
NO_SEARCH = "."
# 0.0.0.0, :: and ::1
_NOWHERE = (bytes(4), bytes(16), bytes(15) + b"\1")


def host_resolv_conf(path: Path = Path("/etc/resolv.conf"), behind_stub: Path = BEHIND_STUB) -> str:
    """The host's resolv.conf, or the one behind its stub resolver; "" when there is none."""
    text = _read(path)
    if not _nameservers(text):
        return _read(behind_stub) or text
    return text


def host_hosts(path: Path = Path("/etc/hosts")) -> str:
    """The host's /etc/hosts, for a container that shares its network; "" when there is none."""
    return _read(path)


def resolv_conf(
    host: str, nameservers: Sequence[str] = (), search: Sequence[str] = (), *, shared: bool = False
) -> str:
    """resolv.conf for a container, from the text of the host's and `--dns`, `--dns-search`.

    Servers on the host's loopback are left out, and those with a zone, since neither leads
    anywhere from another network namespace; `shared` is for one that has the host's network.
    """
    if shared and not nameservers and not search:
        return host
    servers = nameservers or (_all_nameservers(host) if shared else _nameservers(host))
    domains = [one for one in search if one != NO_SEARCH] if search else _search(host)
    lines = [f"search {' '.join(domains)}"] if domains else []
    lines += [f"nameserver {server}" for server in servers]
    lines += [line.strip() for line in host.splitlines() if line.split()[:1] == ["options"]]
    return "".join(f"{line}\n" for line in lines)


def hosts(
    names: Sequence[str],
    addresses: Sequence[str] = (),
    entries: Iterable[HostEntry] = (),
    gateways: Sequence[str] = (),
    *,
    base: str | None = None,
) -> str:
    """/etc/hosts: localhost, the container by its `names` (the hostname first), `--add-host`.

    Addresses are without prefix length. Without any, the names lead to 127.0.1.1, as Debian
    has it. `base` takes the place of localhost's lines: the host's own file, where its network
    is shared. Raises UsageError for "host-gateway" in a container that has no gateway.
    """
    lines = [base.rstrip("\n")] if base else list(_LOCALHOST)
    for entry in entries:
        lines += [f"{address}\t{entry.name}" for address in _addresses(entry, gateways)]
    own = " ".join(_with_short_forms(names))
    lines += [f"{address}\t{own}" for address in addresses or ["127.0.1.1"] if own]
    return "".join(f"{line}\n" for line in lines)


def hostname(name: str) -> str:
    """/etc/hostname."""
    return f"{name}\n"


_LOCALHOST = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
)


def _addresses(entry: HostEntry, gateways: Sequence[str]) -> Sequence[str]:
    if entry.address != HOST_GATEWAY:
        return [entry.address]
    if not gateways:
        raise UsageError(
            f"--add-host {entry.name}:{HOST_GATEWAY}: only a container on a bridge has a gateway"
        )
    return gateways


def _with_short_forms(names: Sequence[str]) -> list[str]:
    """web.example.net is web as well; each name once, in order."""
    forms = [form for name in names for form in (name, name.partition(".")[0])]
    return list(dict.fromkeys(form for form in forms if form))


def _nameservers(text: str) -> list[str]:
    return [server for server in _all_nameservers(text) if _leads_somewhere(server)]


def _all_nameservers(text: str) -> list[str]:
    words = (line.split() for line in text.splitlines())
    return [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]


def _leads_somewhere(server: str) -> bool:
    # What takes no zone, and is loaded already: the module ipaddress takes 3 ms of each start.
    try:
        packed = inet_pton(AF_INET6 if ":" in server else AF_INET, server)
    except (OSError, ValueError):
        return False
    return packed not in _NOWHERE and not (len(packed) == 4 and packed[0] == 127)


def _search(text: str) -> list[str]:
    """The last `search` or `domain` line counts (resolv.conf(5))."""
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["search"]:
            found = words[1:]
        elif words[:1] == ["domain"]:
            found = words[1:2]
    return [domain for domain in found if domain != NO_SEARCH]


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
