"""What the options of limits and privileges have that no command line test reaches."""

from __future__ import annotations

import pytest

from pyinit.errors import Unsupported, UsageError
from pyinit.spec.limits import IoLimit, Limits, settings
from pyinit.spec.privileges import Privileges, Rlimit, change_no_new_privs, rlimits_of


def files(limits: Limits, *, unified: bool) -> list[str]:
    return [setting.file for setting in settings(limits, unified=unified)]


def test_high_needs_v2() -> None:
    with pytest.raises(Unsupported, match=r"memory\.high"):
        settings(Limits(memory_high=1 << 20), unified=False)


def test_reservation_and_swap_alone_on_v1() -> None:
    assert files(Limits(memory_reservation=1 << 20), unified=False) == [
        "memory.soft_limit_in_bytes"
    ]
    assert files(Limits(memory_swap=-1), unified=False) == ["memory.memsw.limit_in_bytes"]


def test_one_way_of_io_is_limited_alone() -> None:
    reading = Limits(io=(IoLimit(device="8:0", read_bps=1000),))
    assert files(reading, unified=True) == ["io.max"]
    assert files(reading, unified=False) == ["blkio.throttle.read_bps_device"]
    nothing = Limits(io=(IoLimit(device="8:0"),))
    assert files(nothing, unified=True) == files(nothing, unified=False) == []


def test_limits_by_name_are_ordered() -> None:
    found = rlimits_of({"nproc": (1, 2), "core": (0, 0)})
    assert found == (Rlimit("core", 0, 0), Rlimit("nproc", 1, 2))


def test_no_new_privs_is_changed_where_asked() -> None:
    base = Privileges()
    assert change_no_new_privs(base, None) is base
    assert change_no_new_privs(base, False).no_new_privs is False


def test_masks() -> None:
    some = Privileges(capabilities=("CAP_CHOWN", "CAP_KILL"), ambient=("CAP_KILL",))
    assert (some.mask(), some.ambient_mask()) == (0b100001, 0b100000)


def test_unknown_limit_and_ranges() -> None:
    with pytest.raises(UsageError, match="ulimit 'cores'"):
        Rlimit("cores", 0, 0)
    with pytest.raises(UsageError, match="give 0 to"):
        Rlimit("core", -2, 0)
    for wrong in ({"oom_score_adj": 2000}, {"umask": 0o1000}):
        with pytest.raises(UsageError):
            Privileges(**wrong)  # type: ignore[arg-type]
