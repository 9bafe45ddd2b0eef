"""Capability names, sets, and what the kernel says of this very thread."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.linux import capabilities, capability_names


def status_field(name: str) -> int:
    for line in Path("/proc/thread-self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1], 16)
    raise LookupError(name)


@pytest.mark.parametrize("spelling", ["net_raw", "NET_RAW", "CAP_NET_RAW", "cap_net_raw"])
def test_any_spelling_is_taken(spelling: str) -> None:
    assert capability_names.canonical(spelling) == "CAP_NET_RAW"
    assert capability_names.number_of(spelling) == 13


@pytest.mark.parametrize("name", ["", "CAP_", "NET", "ALL", "CAP_CAP_CHOWN", "13"])
def test_what_is_no_capability_is_a_key_error(name: str) -> None:
    with pytest.raises(KeyError):
        capability_names.canonical(name)


@given(st.sets(st.sampled_from(capability_names.NAMES)))
def test_masks_and_names_go_back_and_forth(names: set[str]) -> None:
    assert set(capability_names.names_of(capability_names.mask_of(names))) == names


def test_a_capability_newer_than_the_table_has_a_name() -> None:
    assert capability_names.names_of(1 << 60) == ("CAP_60",)


def test_the_last_capability_is_the_kernels() -> None:
    assert int(Path("/proc/sys/kernel/cap_last_cap").read_text()) == capabilities.LAST
    assert capabilities.ALL.bit_length() == capabilities.LAST + 1


def test_sets_are_those_of_proc() -> None:
    sets = capabilities.get_sets()
    assert sets.effective == status_field("CapEff")
    assert sets.permitted == status_field("CapPrm")
    assert sets.inheritable == status_field("CapInh")
    assert capabilities.bounding_set() == status_field("CapBnd")
    assert capabilities.ambient_set() == status_field("CapAmb")


def test_giving_a_thread_what_it_has_changes_nothing() -> None:
    before = capabilities.get_sets()
    capabilities.set_sets(before)
    capabilities.limit_bounding_set(capabilities.ALL)
    assert capabilities.get_sets() == before
