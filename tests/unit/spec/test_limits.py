"""Limits: what is accepted, and which files say it on v1 and v2."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import Unsupported, UsageError
from pyinit.spec.limits import (
    UNLIMITED,
    IoLimit,
    Limits,
    build,
    parse_count,
    parse_cpu_shares,
    parse_cpus,
    parse_size,
    settings,
)

MIB = 1 << 20


def written(limits: Limits, *, unified: bool) -> list[tuple[str, str]]:
    return [(one.file, one.text) for one in settings(limits, unified=unified)]


def test_nothing_asked_nothing_written() -> None:
    assert written(Limits(), unified=True) == written(Limits(), unified=False) == []
    assert not Limits().any()
    assert Limits().controllers() == frozenset()


def test_memory() -> None:
    limits = Limits(memory=64 * MIB)
    assert written(limits, unified=True) == [
        ("memory.max", str(64 * MIB)),
        ("memory.swap.max", str(64 * MIB)),
    ]
    assert written(limits, unified=False) == [
        ("memory.memsw.limit_in_bytes", "-1"),
        ("memory.limit_in_bytes", str(64 * MIB)),
        ("memory.memsw.limit_in_bytes", str(128 * MIB)),
    ]
    optional = [one.file for one in settings(limits, unified=True) if one.optional]
    assert optional == ["memory.swap.max"]


def test_memory_and_swap_together() -> None:
    limits = Limits(memory=64 * MIB, memory_swap=80 * MIB)
    assert ("memory.swap.max", str(16 * MIB)) in written(limits, unified=True)
    assert written(limits, unified=False)[-1] == ("memory.memsw.limit_in_bytes", str(80 * MIB))
    assert not any(one.optional for one in settings(limits, unified=False))


def test_no_limit() -> None:
    limits = Limits(memory=UNLIMITED, cpus=float(UNLIMITED), pids=UNLIMITED)
    assert written(limits, unified=True) == [
        ("memory.max", "max"),
        ("memory.swap.max", "max"),
        ("cpu.max", "max 100000"),
        ("pids.max", "max"),
    ]
    assert written(limits, unified=False)[1:] == [
        ("memory.limit_in_bytes", "-1"),
        ("memory.memsw.limit_in_bytes", "-1"),
        ("cpu.cfs_period_us", "100000"),
        ("cpu.cfs_quota_us", "-1"),
        ("pids.max", "max"),
    ]


def test_weights_are_the_whole_containers() -> None:
    limits = Limits(cpus=0.5, cpu_weight=50, io_weight=200)
    for unified in (True, False):
        whole = [one.file for one in settings(limits, unified=unified) if one.whole]
        assert len(whole) == 2
        assert all("weight" in file or file == "cpu.shares" for file in whole)
    assert ("cpu.shares", "512") in written(limits, unified=False)
    assert ("io.weight", "default 200") in written(limits, unified=True)


def test_io_and_cpusets() -> None:
    limits = Limits(
        cpuset_cpus="0-2,5", cpuset_mems="0", io=(IoLimit("8:0", read_bps=10, write_bps=-1),)
    )
    assert ("io.max", "8:0 rbps=10 wbps=max") in written(limits, unified=True)
    assert written(limits, unified=False) == [
        ("cpuset.cpus", "0-2,5"),
        ("cpuset.mems", "0"),
        ("blkio.throttle.read_bps_device", "8:0 10"),
        ("blkio.throttle.write_bps_device", "8:0 0"),
    ]
    assert limits.controllers() == {"cpuset", "io"}


def test_memory_high_needs_v2() -> None:
    limits = Limits(memory_high=MIB, memory_reservation=MIB)
    assert written(limits, unified=True) == [
        ("memory.low", str(MIB)),
        ("memory.high", str(MIB)),
    ]
    with pytest.raises(Unsupported, match="--memory-reservation"):
        settings(limits, unified=False)


@pytest.mark.parametrize(
    "values",
    [
        {"memory": 1},
        {"memory": 0},
        {"memory": -2},
        {"memory": "64m"},
        {"memory": 64 * MIB, "memory_swap": 32 * MIB},
        {"memory_swap": 32 * MIB},
        {"memory": -1, "memory_swap": 32 * MIB},
        {"pids": 0},
        {"cpus": 0.001},
        {"cpus": 1e300},
        {"cpus": -2},
        {"cpu_weight": 0},
        {"io_weight": 10001},
        {"cpuset_cpus": "0;1"},
        {"cpuset_mems": ""},
        {"io": [{"device": "sda", "read_bps": 5}]},
        {"io": [{"device": "8:0", "read_bps": 0}]},
        {"pid": 3},
    ],
)
def test_bad_values(values: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, Limits)
    with pytest.raises(UsageError, match=r"^limits: ") as raised:
        build(**values)
    assert "\n" not in str(raised.value)


def test_not_a_number_of_cpus() -> None:
    with pytest.raises(UsageError):
        build(cpus=float("nan"))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("64m", 64 * MIB),
        ("64M", 64 * MIB),
        ("64MiB", 64 * MIB),
        ("64mb", 64 * MIB),
        ("1.5g", 1536 * MIB),
        ("512b", 512),
        ("2k", 2048),
        ("0", UNLIMITED),
        ("-1", UNLIMITED),
        ("max", UNLIMITED),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "cpus"), [("0.5", 0.5), (".5", 0.5), ("2", 2.0), ("0", -1.0), ("-1", -1.0)]
)
def test_cpus(text: str, cpus: float) -> None:
    assert parse_cpus(text) == cpus


def test_counts_and_shares() -> None:
    assert parse_count("100") == 100
    assert parse_count("-1") == parse_count("0") == UNLIMITED
    assert parse_cpu_shares("1024") == 100
    assert parse_cpu_shares("2") == 1
    assert parse_cpu_shares("262144") == 10000


@pytest.mark.parametrize("parse", [parse_size, parse_cpus, parse_count, parse_cpu_shares])
@pytest.mark.parametrize("text", ["", "x", "-5", "1e9", "64q", "nan", "inf", "½", "٣", "9" * 99])
def test_bad_options(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert "\n" not in str(raised.value)


@given(st.text(max_size=20))
def test_any_option_text_is_a_number_or_a_usage_error(text: str) -> None:
    for parse in (parse_size, parse_cpus, parse_count, parse_cpu_shares):
        try:
            value = parse(text)
        except UsageError:
            continue
        assert value == UNLIMITED or value >= 0
