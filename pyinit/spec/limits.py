"""What a container or service may use at most: values, and the cgroup files that say so.

Pure: `settings` names what is to be written where, for cgroup v1 and v2, and nothing is
opened here. Options carry podman's names and meanings (podman-run(1)).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from pyinit.errors import Unsupported, UsageError

UNLIMITED = -1
PERIOD = 100_000
"""Microseconds over which a share of CPU time is counted: the kernel's own default."""

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = r"([0-9]{1,18}(?:\.[0-9]{1,9})?)([bkmgt]?)(?:i?b)?"
_NONE = {"-1", "0", "max", "unlimited"}
_CPU_LIST = r"\d+(-\d+)?(,\d+(-\d+)?)*"
_DEVICE = r"\d+:\d+"
_SMALLEST_QUOTA = 1000  # microseconds: the kernel refuses less (cpu.rst, sched-bwc.rst)


class IoLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes per second from and to one block device "MAJOR:MINOR"; -1 takes a limit off."""

    device: str
    read_bps: int | None = None
    write_bps: int | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(_DEVICE, self.device):
            raise ValueError(f"device is {self.device!r}: give MAJOR:MINOR, such as 8:0")
        _at_least("read_bps", self.read_bps, 1)
        _at_least("write_bps", self.write_bps, 1)


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Caps and weights; None leaves a value as it is, UNLIMITED (-1) takes it off.

    Memory is in bytes; `memory_swap` is memory and swap together, and defaults to twice
    `memory`, as podman's does. `memory_high` slows the payload down from there on (v2
    only), `memory_reservation` is what it should keep under pressure from others. `cpus`
    is in CPUs, weights go from 1 to 10000 with 100 for everybody else.
    """

    memory: int | None = None
    memory_swap: int | None = None
    memory_high: int | None = None
    memory_reservation: int | None = None
    cpus: float | None = None
    cpu_weight: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids: int | None = None
    io_weight: int | None = None
    io: tuple[IoLimit, ...] = ()

    def __post_init__(self) -> None:
        for name in ("memory", "memory_swap", "memory_high", "memory_reservation"):
            _at_least(name, getattr(self, name), 4096)
        _at_least("pids", self.pids, 1)
        _check_cpus(self.cpus)
        for name in ("cpu_weight", "io_weight"):
            _check_weight(name, getattr(self, name))
        for name in ("cpuset_cpus", "cpuset_mems"):
            _check_list(name, getattr(self, name))
        if self.memory_swap is not None:
            _check_swap(self.memory, self.memory_swap)

    def any(self) -> bool:
        """Whether anything is limited or weighted at all."""
        return self != Limits()

    def controllers(self) -> frozenset[str]:
        """Controllers without which these limits can't be had, by their v2 names."""
        return frozenset(setting.controller for setting in settings(self, unified=True))


class Setting(msgspec.Struct, frozen=True):
    """One write: `text` into `file` of a controller (v2 name).

    `whole` says that it belongs on the container's top group, since it is weighed against
    other containers; everything else caps the payload, and never init.
    `optional` settings are left out where the kernel has no such file.
    """

    controller: str
    file: str
    text: str
    whole: bool = False
    optional: bool = False


def settings(limits: Limits, *, unified: bool) -> list[Setting]:
    """The writes that put `limits` into force, in order. Raises Unsupported for what v1 lacks."""
    parts = (_unified_memory, _unified_rest) if unified else (_legacy_memory, _legacy_rest)
    return [setting for part in parts for setting in part(limits)]


def _unified_memory(limits: Limits) -> Iterator[Setting]:
    if limits.memory_reservation is not None:
        low = max(limits.memory_reservation, 0)
        yield Setting("memory", "memory.low", str(low))
    if limits.memory_high is not None:
        yield Setting("memory", "memory.high", _or_max(limits.memory_high))
    if limits.memory is not None:
        yield Setting("memory", "memory.max", _or_max(limits.memory))
    if limits.memory_swap is not None:
        swap = UNLIMITED if limits.memory_swap < 0 else limits.memory_swap - (limits.memory or 0)
        yield Setting("memory", "memory.swap.max", _or_max(swap))
    elif limits.memory is not None:
        yield Setting("memory", "memory.swap.max", _or_max(limits.memory), optional=True)


def _unified_rest(limits: Limits) -> Iterator[Setting]:
    if limits.cpus is not None:
        yield Setting("cpu", "cpu.max", f"{_or_max(_quota(limits.cpus))} {PERIOD}")
    if limits.cpu_weight is not None:
        yield Setting("cpu", "cpu.weight", str(limits.cpu_weight), whole=True)
    if limits.cpuset_cpus is not None:
        yield Setting("cpuset", "cpuset.cpus", limits.cpuset_cpus)
    if limits.cpuset_mems is not None:
        yield Setting("cpuset", "cpuset.mems", limits.cpuset_mems)
    if limits.pids is not None:
        yield Setting("pids", "pids.max", _or_max(limits.pids))
    if limits.io_weight is not None:
        yield Setting("io", "io.weight", f"default {limits.io_weight}", whole=True)
    for one in limits.io:
        pairs = (("rbps", one.read_bps), ("wbps", one.write_bps))
        caps = " ".join(f"{key}={_or_max(value)}" for key, value in pairs if value is not None)
        if caps:
            yield Setting("io", "io.max", f"{one.device} {caps}")


def _legacy_memory(limits: Limits) -> Iterator[Setting]:
    if limits.memory_high is not None:
        raise Unsupported(
            "cgroup v1 has no memory.high: use --memory or --memory-reservation, or boot with v2"
        )
    if limits.memory_reservation is not None:
        text = str(limits.memory_reservation)
        yield Setting("memory", "memory.soft_limit_in_bytes", text)
    if limits.memory is None:
        if limits.memory_swap is not None:
            yield Setting("memory", "memory.memsw.limit_in_bytes", str(limits.memory_swap))
        return
    total, asked = limits.memory_swap, limits.memory_swap is not None
    if total is None:
        total = UNLIMITED if limits.memory < 0 else 2 * limits.memory
    # The kernel holds limit <= memsw.limit at every moment, so the sum is opened first.
    yield Setting("memory", "memory.memsw.limit_in_bytes", "-1", optional=not asked)
    yield Setting("memory", "memory.limit_in_bytes", str(limits.memory))
    yield Setting("memory", "memory.memsw.limit_in_bytes", str(total), optional=not asked)


def _legacy_rest(limits: Limits) -> Iterator[Setting]:
    if limits.cpus is not None:
        yield Setting("cpu", "cpu.cfs_period_us", str(PERIOD))
        yield Setting("cpu", "cpu.cfs_quota_us", str(_quota(limits.cpus)))
    if limits.cpu_weight is not None:
        shares = max(2, limits.cpu_weight * 1024 // 100)
        yield Setting("cpu", "cpu.shares", str(shares), whole=True)
    if limits.cpuset_cpus is not None:
        yield Setting("cpuset", "cpuset.cpus", limits.cpuset_cpus)
    if limits.cpuset_mems is not None:
        yield Setting("cpuset", "cpuset.mems", limits.cpuset_mems)
    if limits.pids is not None:
        yield Setting("pids", "pids.max", _or_max(limits.pids))
    if limits.io_weight is not None:
        weight = min(1000, limits.io_weight)
        yield Setting("io", "blkio.bfq.weight", str(weight), whole=True)
    for one in limits.io:
        for way, value in (("read", one.read_bps), ("write", one.write_bps)):
            if value is not None:
                file = f"blkio.throttle.{way}_bps_device"
                yield Setting("io", file, f"{one.device} {max(value, 0)}")


def _or_max(value: int) -> str:
    return "max" if value < 0 else str(value)


def _quota(cpus: float) -> int:
    return UNLIMITED if cpus < 0 else int(cpus * PERIOD)


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value != UNLIMITED and value < least:
        raise ValueError(f"{name} is {value}: give at least {least}, or -1 for no limit")


def _check_cpus(cpus: float | None) -> None:
    if cpus is None or cpus == UNLIMITED:
        return
    if not _SMALLEST_QUOTA / PERIOD <= cpus <= 1 << 20:
        raise ValueError(f"cpus is {cpus}: give 0.01 or more, or -1 for no limit")


def _check_weight(name: str, weight: int | None) -> None:
    if weight is not None and not 1 <= weight <= 10000:
        raise ValueError(f"{name} is {weight}: give 1 to 10000")


def _check_list(name: str, text: str | None) -> None:
    if text is not None and not re.fullmatch(_CPU_LIST, text):
        raise ValueError(f"{name} is {text!r}: give numbers and ranges, such as 0-2,5")


def _check_swap(memory: int | None, total: int) -> None:
    if memory is None and total != UNLIMITED:
        raise ValueError("memory_swap counts memory too: give memory as well")
    if memory is not None and total != UNLIMITED and not 0 <= memory <= total:
        raise ValueError(f"memory_swap is {total}, memory and swap together: give {memory} or more")


def parse_size(text: str) -> int:
    """Bytes from "64m", "1.5G", "4096"; UNLIMITED from "-1", "0", "max". Raises UsageError."""
    if text.strip().lower() in _NONE:
        return UNLIMITED
    matched = re.fullmatch(_SIZE, text.strip(), re.IGNORECASE)
    if matched is None:
        raise UsageError(f"{text!r} is no size: give bytes, or a number with k, m, g or t")
    return int(float(matched[1]) * _UNITS[matched[2].lower()])


def parse_cpus(text: str) -> float:
    """CPUs from "0.5" or "2"; UNLIMITED from "0", "-1", "max". Raises UsageError."""
    if text.strip().lower() in _NONE:
        return float(UNLIMITED)
    if not re.fullmatch(r"[0-9]{0,9}\.?[0-9]{1,9}", text.strip()):
        raise UsageError(f"{text!r} is no number of CPUs: give one such as 0.5 or 2")
    return float(text)


def parse_count(text: str) -> int:
    """A number of processes; UNLIMITED from "0", "-1", "max". Raises UsageError."""
    if text.strip().lower() in _NONE:
        return UNLIMITED
    if not re.fullmatch(r"[0-9]{1,18}", text.strip()):
        raise UsageError(f"{text!r} is no number of processes: give one such as 100, or -1")
    return int(text)


def parse_cpu_shares(text: str) -> int:
    """A weight from podman's --cpu-shares, whose 1024 is our 100. Raises UsageError."""
    if not re.fullmatch(r"[0-9]{1,18}", text.strip()) or not 2 <= int(text) <= 262144:
        raise UsageError(f"{text!r} is no number of CPU shares: give 2 to 262144; 1024 is usual")
    return min(10000, max(1, round(int(text) * 100 / 1024)))


def build(**values: object) -> Limits:
    """Limits from option values; a wrong one raises UsageError instead of ValueError."""
    try:
        return msgspec.convert(values, Limits)
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"limits: {error}") from None
