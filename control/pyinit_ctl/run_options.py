"""The options of `pyinit-ctl run`, with podman's names, and the spec that they make."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from pyinit.errors import UsageError
from pyinit.spec import limits as limit_options
from pyinit.spec import network_options, privileges
from pyinit.spec.container import ContainerSpec, Root, Tmpfs, Volume, from_json
from pyinit.spec.logs import MOST, SMALLEST, LogSpec
from pyinit.spec.privileges import Privileges
from pyinit.spec.services_file import load_services
from pyinit_ctl.exec_options import read_environment

T = TypeVar("T")


def _option(*names: str, many: bool = False, flag: bool = False, **more: Any) -> click.Option:
    if flag:
        return click.Option(names, is_flag=True, **more)
    return click.Option(names, multiple=many, **more)


LIMIT_OPTIONS: list[click.Parameter] = [
    _option("--memory", "-m", metavar="SIZE", help="memory at most, such as 64m"),
    _option("--memory-swap", metavar="SIZE", help="memory and swap together at most"),
    _option("--memory-high", metavar="SIZE", help="memory above which it is slowed (cgroup v2)"),
    _option("--memory-reservation", metavar="SIZE", help="memory that is left to it when scarce"),
    _option("--cpus", metavar="N", help="processors at most, such as 0.5"),
    _option("--cpu-weight", type=int, metavar="N", help="share of CPU time, 1 to 10000"),
    _option("--cpuset-cpus", metavar="LIST", help="processors it may use, such as 0-1"),
    _option("--pids-limit", metavar="N", help="processes at most"),
    _option("--io-weight", type=int, metavar="N", help="share of disk time, 1 to 10000"),
    _option("--device-read-bps", many=True, metavar="DEV:SIZE", help="bytes a second from a disk"),
    _option("--device-write-bps", many=True, metavar="DEV:SIZE", help="bytes a second to a disk"),
]
OPTIONS: list[click.Parameter] = [
    _option("--name", metavar="NAME", help="the container's name; made up when left out"),
    _option("--root", metavar="DIR", help="use the folder as the root"),
    _option("--layer", many=True, metavar="DIR", help="put layers together; the first on top"),
    _option("--upper", metavar="DIR", help="keep what is written in this folder"),
    _option("--read-only", flag=True, help="mount the root read-only"),
    _option("--volume", "-v", many=True, metavar="SRC:DST[:ro]", help="show a host path inside"),
    _option("--tmpfs", many=True, metavar="DST[:OPTIONS]", help="a file system in memory"),
    _option("--detach", "-d", flag=True, help="print the name and leave the container running"),
    _option("--interactive", "-i", flag=True, help="connect standard input"),
    _option("--tty", "-t", flag=True, help="give the command a terminal"),
    _option("--rm", "remove", flag=True, help="remove what is left when the container has ended"),
    _option(
        "--hostname", "-h", metavar="NAME", help="host name inside; the container's by default"
    ),
    _option("--domainname", metavar="NAME", help="NIS domain name inside"),
    _option("--env", "-e", many=True, metavar="NAME[=VALUE]", help="set a variable"),
    _option("--env-file", many=True, metavar="FILE", help="set the variables of a file"),
    _option("--workdir", "-w", metavar="DIR", help="working folder of the command"),
    _option("--user", "-u", metavar="USER[:GROUP]", help="run as this user, by name or number"),
    _option("--services", metavar="PATH", help="supervise the services of a TOML file or folder"),
    _option("--control", metavar="PATH", help="put the control socket here"),
    _option("--log", flag=True, help="log the output that is shown here too; always so with -d"),
    _option("--log-size", metavar="SIZE", default="10m", help="how large a file of a log may get"),
    _option("--log-count", type=int, metavar="N", default=5, help="how many files of a log stay"),
    _option("--stop-timeout", type=float, default=10.0, metavar="S", help="between TERM and KILL"),
    _option("--net", "--network", metavar="NET", default="none", help="none, host, bridge[:NAME]…"),
    _option("--publish", "-p", many=True, metavar="[IP:]PORT:PORT[/udp]", help="publish a port"),
    _option("--dns", many=True, metavar="ADDRESS", help="name server"),
    _option("--dns-search", many=True, metavar="DOMAIN", help="search domain"),
    _option("--add-host", many=True, metavar="NAME:ADDRESS", help="a line for /etc/hosts"),
    _option("--pid", metavar="NS", help="pid namespace: private, host, container:NAME or a path"),
    _option("--ipc", metavar="NS", help="ipc namespace: private, host, container:NAME or a path"),
    _option("--uts", metavar="NS", help="uts namespace: private, host, container:NAME or a path"),
    _option("--cgroupns", metavar="NS", help="cgroup namespace: private, host or a path"),
    _option("--time", metavar="NS", help="time namespace: host, private, container:NAME or a path"),
    _option("--time-offset", metavar="CLOCK=S[,…]", help="be ahead: monotonic=S, boottime=S"),
    _option(
        "--userns", metavar="NS", help="ids: host, auto, keep-id, INSIDE:OUTSIDE:COUNT, or as above"
    ),
    _option("--pin", metavar="KIND[,…]", help="keep these namespaces after the end: net, ipc, …"),
    *LIMIT_OPTIONS,
    _option("--cgroup-parent", metavar="PATH", help="make the container's cgroup below this one"),
    _option("--cap-add", many=True, metavar="CAP", help="give a capability, or ALL"),
    _option("--cap-drop", many=True, metavar="CAP", help="take a capability, or ALL"),
    _option("--privileged", flag=True, help="hold nothing back that namespaces don't"),
    _option("--security-opt", many=True, metavar="OPT", help="no-new-privileges, seccomp=FILE"),
    _option("--ulimit", many=True, metavar="NAME=SOFT[:HARD]", help="a resource limit"),
    _option("--umask", metavar="MODE", help="creation mask, octal"),
    _option("--oom-score-adj", metavar="N", help="-1000 to 1000"),
    _option("--sysctl", many=True, metavar="NAME=VALUE", help="a kernel parameter of its own"),
    _option("--spec", metavar="FILE", help="take it all from a spec in JSON; - is standard input"),
    _option("--dry-run", flag=True, help="print the mounts that would be made, and make nothing"),
    _option("--json", "as_json", flag=True, help="with --dry-run: print the spec and the mounts"),
]
# What goes with --spec, which has the place of all others.
BESIDE_SPEC = frozenset(
    {"spec", "name", "detach", "interactive", "tty", "dry_run", "as_json", "words"}
)


def read_spec(path: str, name: str | None, words: Iterable[str]) -> ContainerSpec:
    """The spec in a file; a name and a command that are given take the place of its own.

    Raises UsageError that names the file and the field which is wrong.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
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


def build_spec(name: str, words: Iterable[str], values: dict[str, Any]) -> ContainerSpec:
    """The spec for the values of the options, by their names. Raises UsageError."""
    return ContainerSpec(
        name=name,
        command=tuple(words),
        services=load_services(values["services"]) if values["services"] else {},
        hostname=values["hostname"],
        domainname=values["domainname"],
        environment=read_environment(values["env"], values["env_file"]),
        workdir=values["workdir"],
        user=values["user"],
        control=values["control"],
        grace=values["stop_timeout"],
        remove=values["remove"],
        log=_log(values),
        root=_root(values),
        volumes=_each(read_volume, values["volume"]),
        tmpfs=_each(read_tmpfs, values["tmpfs"]),
        namespaces=_namespaces(values),
        pins=tuple(filter(None, (values["pin"] or "").split(","))),
        time_offsets=read_time_offsets(values["time_offset"] or ""),
        network=network_options.parse_network(values["net"]),
        publish=_each(network_options.parse_publish, values["publish"]),
        dns=_each(network_options.parse_nameserver, values["dns"]),
        dns_search=_each(network_options.parse_search_domain, values["dns_search"]),
        add_host=_each(network_options.parse_host_entry, values["add_host"]),
        limits=read_limits(values),
        cgroup_parent=values["cgroup_parent"],
        privileges=_privileges(values),
        privileged=values["privileged"],
        sysctls=dict(_each(read_pair, values["sysctl"])),
    )


def _log(values: dict[str, Any]) -> LogSpec:
    size, count = limit_options.parse_size(values["log_size"]), values["log_count"]
    if size < SMALLEST:
        raise UsageError(f"bad log size {values['log_size']!r}: at least {SMALLEST >> 10}k")
    if not 1 <= count <= MOST:
        raise UsageError(f"bad log count {count}: between 1 and {MOST}")
    return LogSpec(size=size, count=count, main=values["log"])


def _each(read: Callable[[str], T], texts: Iterable[str]) -> tuple[T, ...]:
    return tuple(read(text) for text in texts)


def _root(values: dict[str, Any]) -> Root:
    if values["root"] and values["layer"]:
        raise UsageError("--root and --layer exclude each other: use one of them")
    if values["upper"] and values["root"]:
        raise UsageError("--upper goes with --layer or the default root, not with --root")
    return Root(
        directory=_absolute(values["root"]),
        layers=tuple(os.path.abspath(layer) for layer in values["layer"]),
        upper=_absolute(values["upper"]),
        read_only=values["read_only"],
    )


def _absolute(path: str | None) -> str | None:
    return None if path is None else os.path.abspath(path)


def _namespaces(values: dict[str, Any]) -> dict[str, str]:
    named = {kind: values[option] for kind, option in _NAMESPACE_OPTIONS.items()}
    return {kind: source for kind, source in named.items() if source is not None}


_NAMESPACE_OPTIONS = {
    "pid": "pid",
    "ipc": "ipc",
    "uts": "uts",
    "cgroup": "cgroupns",
    "user": "userns",
    "time": "time",
}


def read_limits(values: dict[str, Any]) -> limit_options.Limits:
    """The limits among the values of the options, by their names. Raises UsageError."""
    sizes = ("memory", "memory_swap", "memory_high", "memory_reservation")
    found: dict[str, object] = {
        name: limit_options.parse_size(values[name]) for name in sizes if values[name] is not None
    }
    if values["cpus"] is not None:
        found["cpus"] = limit_options.parse_cpus(values["cpus"])
    if values["pids_limit"] is not None:
        found["pids"] = limit_options.parse_count(values["pids_limit"])
    for name in ("cpu_weight", "cpuset_cpus", "io_weight"):
        if values[name] is not None:
            found[name] = values[name]
    if io := _io_limits(values):
        found["io"] = io
    return limit_options.build(**found)


def _io_limits(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"device": device, f"{way}_bps": rate}
        for way in ("read", "write")
        for device, rate in map(read_device_rate, values[f"device_{way}_bps"])
    ]


def read_device_rate(text: str) -> tuple[str, int]:
    """/dev/NAME:SIZE or MAJOR:MINOR:SIZE, as MAJOR:MINOR and bytes. Raises UsageError."""
    device, colon, size = text.rpartition(":")
    if not colon or not device:
        raise UsageError(f"bad rate {text!r}: give DEVICE:SIZE, such as /dev/sda:1m")
    rate = limit_options.parse_size(size)
    if not device.startswith("/"):
        return device, rate
    try:
        found = os.stat(device)
    except OSError as error:
        raise UsageError(f"bad rate {text!r}: {device}: {error.strerror}") from None
    if not stat.S_ISBLK(found.st_mode):
        raise UsageError(f"bad rate {text!r}: {device} is no block device")
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}", rate


def _privileges(values: dict[str, Any]) -> Privileges:
    base = privileges.PRIVILEGED if values["privileged"] else Privileges()
    for text in values["security_opt"]:
        base = privileges.apply_security_option(base, text)
    base = privileges.change_capabilities(base, values["cap_add"], values["cap_drop"])
    base = privileges.change_rlimits(base, _each(privileges.read_ulimit, values["ulimit"]))
    changes: dict[str, Any] = {}
    if values["umask"] is not None:
        changes["umask"] = privileges.read_umask(values["umask"])
    if values["oom_score_adj"] is not None:
        changes["oom_score_adj"] = privileges.read_oom_score_adj(values["oom_score_adj"])
    return msgspec.structs.replace(base, **changes)


def read_time_offsets(text: str) -> dict[str, int]:
    """CLOCK=SECONDS[,…]. Raises UsageError."""
    found: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        clock, seconds = read_pair(part)
        if not re.fullmatch(r"[+-]?[0-9]{1,10}", seconds, re.ASCII):
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
        return {"size": max(limit_options.parse_size(value), 0)}
    if key == "mode" and equals:
        try:
            return {"mode": int(value, 8)}
        except ValueError:
            raise UsageError(f"bad tmpfs {text!r}: mode is octal, such as 1777") from None
    if option in _TMPFS_FLAGS:
        return _TMPFS_FLAGS[option]
    raise UsageError(f"bad tmpfs {text!r}: options are size, mode, ro, rw, exec, noexec")
