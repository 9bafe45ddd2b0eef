"""The spec that the options of `pyinit-ctl run` make.

Only what an option asks for is loaded: reading services, networks and rates takes longer than
all else that is done for an ordinary container.
"""

from __future__ import annotations

import os
import sys
from stat import S_ISBLK

import msgspec

from pyinit.errors import UsageError
from pyinit.spec import privileges
from pyinit.spec.container import ContainerSpec, HostDevice, Root, Tmpfs, Volume, from_json
from pyinit.spec.limits import Limits, build, parse_count, parse_cpus, parse_size
from pyinit.spec.logs import MOST, SMALLEST, LogSpec
from pyinit.spec.network import NoNetwork
from pyinit.spec.privileges import Privileges
from pyinit_ctl.exec_options import read_environment
from pyinit_ctl.run_table import LIMIT_OPTIONS

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    from pyinit_ctl.flags import Given

    T = TypeVar("T")


def read_spec(path: str, name: str | None, words: Iterable[str]) -> ContainerSpec:
    """The spec in a file; a name and a command that are given take the place of its own.

    Raises UsageError that names the file and the field which is wrong.
    """
    try:
        data = _read(path)
    except OSError as error:
        raise UsageError(f"--spec {path}: {error.strerror}") from None
    try:
        spec = from_json(data)
        changes: dict[str, Any] = {"name": name} if name else {}
        if command := tuple(words):
            changes["command"] = command
        return msgspec.structs.replace(spec, **changes)
    except UsageError as error:
        raise UsageError(f"--spec {path}: {error}") from None


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


def build_spec(name: str, words: Iterable[str], given: Given) -> ContainerSpec:
    """The spec for the options. Raises UsageError."""
    grace = given.seconds("stop-timeout")
    return ContainerSpec(
        name=name,
        command=tuple(words),
        hostname=given.value("hostname"),
        domainname=given.value("domainname"),
        environment=read_environment(given.values("env"), given.values("env-file")),
        workdir=given.value("workdir"),
        user=given.value("user"),
        control=given.value("control"),
        grace=10.0 if grace is None else grace,
        remove=given.flag("rm"),
        log=_log(given),
        root=_root(given),
        volumes=_each(read_volume, given.values("volume")),
        tmpfs=_each(read_tmpfs, given.values("tmpfs")),
        devices=_each(read_device, given.values("device")),
        namespaces=_namespaces(given),
        pins=tuple(filter(None, (given.value("pin") or "").split(","))),
        time_offsets=read_time_offsets(given.value("time-offset") or ""),
        limits=read_limits(given),
        cgroup_parent=given.value("cgroup-parent"),
        privileges=_privileges(given),
        privileged=given.flag("privileged"),
        sysctls=dict(_each(read_pair, given.values("sysctl"))),
        **_services(given),
        **_network(given),
    )


def _services(given: Given) -> dict[str, Any]:
    path = given.value("services")
    if not path:
        return {}
    from pyinit.spec.services_file import load_services

    return {"services": load_services(path)}


def _network(given: Given) -> dict[str, Any]:
    if not given.given.keys() & {"net", "publish", "dns", "dns-search", "add-host"}:
        return {}
    from pyinit.spec import network_options as read

    net = given.value("net")
    return {
        "network": NoNetwork() if net is None else read.parse_network(net),
        "publish": _each(read.parse_publish, given.values("publish")),
        "dns": _each(read.parse_nameserver, given.values("dns")),
        "dns_search": _each(read.parse_search_domain, given.values("dns-search")),
        "add_host": _each(read.parse_host_entry, given.values("add-host")),
    }


def _log(given: Given) -> LogSpec:
    text, count = given.value("log-size"), given.whole("log-count")
    size = None if text is None else parse_size(text)
    if size is not None and size < SMALLEST:
        raise UsageError(f"bad log size {text!r}: at least {SMALLEST >> 10}k")
    if count is not None and not 1 <= count <= MOST:
        raise UsageError(f"bad log count {count}: between 1 and {MOST}")
    return LogSpec(
        size=10 << 20 if size is None else size,
        count=5 if count is None else count,
        main=given.flag("log"),
    )


def _each(read: Callable[[str], T], texts: Iterable[str]) -> tuple[T, ...]:
    return tuple(read(text) for text in texts)


def _root(given: Given) -> Root:
    directory, upper, layers = given.value("root"), given.value("upper"), given.values("layer")
    if directory and layers:
        raise UsageError("--root and --layer exclude each other: use one of them")
    if upper and directory:
        raise UsageError("--upper goes with --layer or the default root, not with --root")
    return Root(
        directory=_absolute(directory),
        layers=tuple(os.path.abspath(layer) for layer in layers),
        upper=_absolute(upper),
        read_only=given.flag("read-only"),
    )


def _absolute(path: str | None) -> str | None:
    return None if path is None else os.path.abspath(path)


def _namespaces(given: Given) -> dict[str, str]:
    named = {kind: given.value(option) for kind, option in _NAMESPACE_OPTIONS.items()}
    return {kind: source for kind, source in named.items() if source is not None}


_NAMESPACE_OPTIONS = {
    "pid": "pid",
    "ipc": "ipc",
    "uts": "uts",
    "cgroup": "cgroupns",
    "user": "userns",
    "time": "time",
}


_SIZES = ("memory", "memory-swap", "memory-high", "memory-reservation")


def read_limits(given: Given) -> Limits:
    """The limits among the options. Raises UsageError."""
    if not given.given.keys() & {option.long for option in LIMIT_OPTIONS}:
        return Limits()
    found: dict[str, object] = {}
    for name in _SIZES:
        if (size := given.value(name)) is not None:
            found[name.replace("-", "_")] = parse_size(size)
    if (cpus := given.value("cpus")) is not None:
        found["cpus"] = parse_cpus(cpus)
    if (pids := given.value("pids-limit")) is not None:
        found["pids"] = parse_count(pids)
    if (cpuset := given.value("cpuset-cpus")) is not None:
        found["cpuset_cpus"] = cpuset
    for name in ("cpu-weight", "io-weight"):
        if (weight := given.whole(name)) is not None:
            found[name.replace("-", "_")] = weight
    if io := _io_limits(given):
        found["io"] = io
    return build(**found)


def _io_limits(given: Given) -> list[dict[str, Any]]:
    return [
        {"device": device, f"{way}_bps": rate}
        for way in ("read", "write")
        for device, rate in map(read_device_rate, given.values(f"device-{way}-bps"))
    ]


def read_device_rate(text: str) -> tuple[str, int]:
    """/dev/NAME:SIZE or MAJOR:MINOR:SIZE, as MAJOR:MINOR and bytes. Raises UsageError."""
    device, colon, size = text.rpartition(":")
    if not colon or not device:
        raise UsageError(f"bad rate {text!r}: give DEVICE:SIZE, such as /dev/sda:1m")
    rate = parse_size(size)
    if not device.startswith("/"):
        return device, rate
    try:
        found = os.stat(device)
    except OSError as error:
        raise UsageError(f"bad rate {text!r}: {device}: {error.strerror}") from None
    if not S_ISBLK(found.st_mode):
        raise UsageError(f"bad rate {text!r}: {device} is no block device")
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}", rate


_PRIVILEGE_OPTIONS = frozenset(
    {"privileged", "security-opt", "cap-add", "cap-drop", "ulimit", "umask", "oom-score-adj"}
)


def _privileges(given: Given) -> Privileges:
    if not given.given.keys() & _PRIVILEGE_OPTIONS:
        return Privileges()
    base = privileges.PRIVILEGED if given.flag("privileged") else Privileges()
    for text in given.values("security-opt"):
        base = privileges.apply_security_option(base, text)
    base = privileges.change_capabilities(base, given.values("cap-add"), given.values("cap-drop"))
    base = privileges.change_rlimits(base, _each(privileges.read_ulimit, given.values("ulimit")))
    changes: dict[str, Any] = {}
    if (umask := given.value("umask")) is not None:
        changes["umask"] = privileges.read_umask(umask)
    if (adj := given.value("oom-score-adj")) is not None:
        changes["oom_score_adj"] = privileges.read_oom_score_adj(adj)
    return msgspec.structs.replace(base, **changes)


def read_time_offsets(text: str) -> dict[str, int]:
    """CLOCK=SECONDS[,…]. Raises UsageError."""
    found: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        clock, seconds = read_pair(part)
        digits = seconds[1:] if seconds[:1] in ("+", "-") else seconds
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
            raise UsageError(
                f"bad time offset {part!r}: give whole seconds, such as boottime=86400"
            )
        found[clock] = int(seconds)
    return found


def read_pair(text: str) -> tuple[str, str]:
    """NAME=VALUE. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"bad value {text!r}: give NAME=VALUE")
    return name, value


def read_volume(text: str) -> Volume:
    """SRC:DST[:ro|rw]; a relative source counts from here. Raises UsageError."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise UsageError(f"bad volume {text!r}: give SRC:DST or SRC:DST:ro")
    mode = parts[2] if len(parts) == 3 else "rw"
    if mode not in ("ro", "rw"):
        raise UsageError(f"bad volume {text!r}: the option is ro or rw, not {mode!r}")
    source = os.path.abspath(parts[0])
    if not os.path.exists(source):
        raise UsageError(f"bad volume {text!r}: {source} does not exist on the host; make it first")
    return Volume(source=source, target=parts[1], read_only=mode == "ro")


def read_device(text: str) -> HostDevice:
    """SRC[:DST], also with podman's :rw or :rwm behind it. Raises UsageError."""
    source, *others = text.split(":")
    if others and others[-1] in ("rw", "rwm"):
        others.pop()
    if len(others) > 1 or not all(each.startswith("/") for each in others):
        raise UsageError(
            f"bad device {text!r}: give SRC or SRC:DST; its mode says who may read and write it"
        )
    return HostDevice(source=source, target=others[0] if others else source)


def read_tmpfs(text: str) -> Tmpfs:
    """DST[:size=SIZE,mode=OCTAL,ro,rw,noexec,exec]. Raises UsageError."""
    target, _, options = text.partition(":")
    changes: dict[str, Any] = {}
    for option in filter(None, options.split(",")):
        changes |= _tmpfs_option(text, option)
    return Tmpfs(target=target, **changes)


_TMPFS_FLAGS: dict[str, dict[str, Any]] = {
    "ro": {"read_only": True},
    "rw": {"read_only": False},
    "exec": {"executable": True},
    "noexec": {"executable": False},
    "nosuid": {},  # always so
    "nodev": {},
}


def _tmpfs_option(text: str, option: str) -> dict[str, Any]:
    key, equals, value = option.partition("=")
    if key == "size" and equals:
        return {"size": max(parse_size(value), 0)}
    if key == "mode" and equals:
        try:
            return {"mode": int(value, 8)}
        except ValueError:
            raise UsageError(f"bad tmpfs {text!r}: mode is octal, such as 1777") from None
    if option in _TMPFS_FLAGS:
        return _TMPFS_FLAGS[option]
    raise UsageError(f"bad tmpfs {text!r}: options are size, mode, ro, rw, exec, noexec")
