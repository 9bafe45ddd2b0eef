"""Privileges: what the options make of them, and one clear line for every bad value."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import UsageError
from pyinit.linux.capability_names import NAMES
from pyinit.spec import privileges
from pyinit.spec.privileges import PRIVILEGED, Privileges, Rlimit, change_capabilities

DEFAULT = privileges.DEFAULT_CAPABILITIES


def test_the_default_is_podmans_less_two() -> None:
    podman = {
        *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL"),
        *("CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"),
        "CAP_SYS_CHROOT",
    }
    assert podman - set(DEFAULT) == {"CAP_SETFCAP", "CAP_SETPCAP"}
    assert set(DEFAULT) <= podman
    assert Privileges().no_new_privs
    assert Privileges().seccomp == "default"


@pytest.mark.parametrize(
    ("add", "drop", "have", "ambient"),
    [
        ([], [], DEFAULT, ()),
        (["net_raw"], [], {*DEFAULT, "CAP_NET_RAW"}, {"CAP_NET_RAW"}),
        (["CAP_CHOWN"], [], DEFAULT, {"CAP_CHOWN"}),
        ([], ["chown", "KILL"], {*DEFAULT} - {"CAP_CHOWN", "CAP_KILL"}, ()),
        ([], ["ALL"], (), ()),
        (["net_raw"], ["all"], {"CAP_NET_RAW"}, {"CAP_NET_RAW"}),
        (["ALL"], [], NAMES, NAMES),
        (["all"], ["SYS_ADMIN"], {*NAMES} - {"CAP_SYS_ADMIN"}, {*NAMES} - {"CAP_SYS_ADMIN"}),
        ([], ["sys_admin"], DEFAULT, ()),
    ],
)
def test_capabilities_as_podman_merges_them(
    add: list[str], drop: list[str], have: set[str], ambient: set[str]
) -> None:
    changed = change_capabilities(Privileges(), add, drop)
    assert set(changed.capabilities) == set(have)
    assert set(changed.ambient) == set(ambient)
    assert list(changed.capabilities) == sorted(changed.capabilities, key=NAMES.index)


def test_an_exec_starts_from_what_the_container_has() -> None:
    container = change_capabilities(Privileges(), ["net_raw"], ["ALL"])
    changed = change_capabilities(container, ["net_admin"], ["net_raw"])
    assert changed.capabilities == changed.ambient == ("CAP_NET_ADMIN",)


def test_privileged_holds_nothing_back() -> None:
    assert PRIVILEGED.capabilities == NAMES
    assert PRIVILEGED.ambient == ()
    assert PRIVILEGED.seccomp is None
    assert not PRIVILEGED.no_new_privs


@pytest.mark.parametrize(
    ("add", "drop", "said"),
    [
        (["FLY"], [], "--cap-add 'FLY'"),
        ([], ["CAP_"], "--cap-drop 'CAP_'"),
        ([""], [], "--cap-add ''"),
        (["kill"], ["CAP_KILL"], "CAP_KILL is in both"),
        (["ALL"], ["ALL"], "ALL is in both"),
    ],
)
def test_bad_capabilities(add: list[str], drop: list[str], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        change_capabilities(Privileges(), add, drop)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("nofile=1024", Rlimit("nofile", 1024, 1024)),
        ("nofile=1024:4096", Rlimit("nofile", 1024, 4096)),
        ("core=0", Rlimit("core", 0, 0)),
        ("RLIMIT_NPROC=5", Rlimit("nproc", 5, 5)),
        ("memlock=-1", Rlimit("memlock", -1, -1)),
        ("memlock=64:unlimited", Rlimit("memlock", 64, -1)),
    ],
)
def test_ulimit(text: str, limit: Rlimit) -> None:
    assert privileges.read_ulimit(text) == limit


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "NAME=SOFT[:HARD]"),
        ("nofile", "NAME=SOFT[:HARD]"),
        ("nofile=", "NAME=SOFT[:HARD]"),
        ("nofile=:5", "NAME=SOFT[:HARD]"),
        ("nofile=5:", "NAME=SOFT[:HARD]"),
        ("files=5", "the names are as, core"),
        ("nofile=many", "'many' is neither"),
        ("nofile=5:many", "'many' is neither"),
        ("nofile=-2", "'-2' is neither"),
        ("nofile=1:2:3", "'2:3' is neither"),
        ("nofile=9:8", "9:8: the soft limit is above"),
        ("nofile=-1:8", "unlimited:8: the soft limit is above"),
        ("nofile=9223372036854775808", "is neither"),
        ("nofile=" + "9" * 5000, "is neither"),
        ("nofile=٣", "is neither"),
    ],
)
def test_bad_ulimit(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        privileges.read_ulimit(text)
    assert said in str(raised.value)
    assert len(str(raised.value)) < 250


def test_limits_of_an_exec_take_the_place_of_the_containers() -> None:
    base = Privileges(rlimits=privileges.rlimits_of({"nofile": (1, 2), "core": (0, 0)}))
    changed = privileges.change_rlimits(base, [Rlimit("nofile", 5, 6), Rlimit("as", 7, 7)])
    assert [limit.name for limit in changed.rlimits] == ["as", "core", "nofile"]
    assert changed.rlimits[2].soft == 5


@pytest.mark.parametrize(("text", "umask"), [("0", 0), ("022", 0o22), ("0077", 0o77)])
def test_umask(text: str, umask: int) -> None:
    assert privileges.read_umask(text) == umask


@pytest.mark.parametrize("text", ["", "8", "1000", "-1", "0o22", "22 ", "00022"])
def test_bad_umask(text: str) -> None:
    with pytest.raises(UsageError, match="0000 to 0777"):
        privileges.read_umask(text)


@pytest.mark.parametrize(("text", "score"), [("0", 0), ("-1000", -1000), ("+1000", 1000)])
def test_oom_score_adj(text: str, score: int) -> None:
    assert privileges.read_oom_score_adj(text) == score


@pytest.mark.parametrize("text", ["", "1001", "-1001", "x", "1.5", "99999"])
def test_bad_oom_score_adj(text: str) -> None:
    with pytest.raises(UsageError, match="-1000 to 1000"):
        privileges.read_oom_score_adj(text)


@pytest.mark.parametrize(
    ("text", "no_new_privs", "seccomp"),
    [
        ("no-new-privileges", True, "default"),
        ("no-new-privileges=false", False, "default"),
        ("no-new-privileges:true", True, "default"),
        ("seccomp=unconfined", True, None),
        ("seccomp=default", True, "default"),
        ("seccomp=/etc/strict:1.json", True, "/etc/strict:1.json"),
    ],
)
def test_security_option(text: str, no_new_privs: bool, seccomp: str | None) -> None:
    changed = privileges.apply_security_option(Privileges(), text)
    assert (changed.no_new_privs, changed.seccomp) == (no_new_privs, seccomp)


@pytest.mark.parametrize(
    "text", ["", "seccomp", "seccomp=", "label=disable", "no-new-privileges=2", "a=b=c"]
)
def test_bad_security_option(text: str) -> None:
    with pytest.raises(UsageError, match="--security-opt"):
        privileges.apply_security_option(Privileges(), text)


def test_a_value_made_by_hand_is_checked_too() -> None:
    for wrong in (
        {"capabilities": ("chown",)},
        {"ambient": ("CAP_SYS_ADMIN",)},
        {"oom_score_adj": 1001},
        {"umask": 0o1000},
    ):
        with pytest.raises(UsageError):
            Privileges(**wrong)  # type: ignore[arg-type]


limits = st.builds(
    lambda name, soft, more: Rlimit(name, soft, soft + more),
    st.sampled_from(privileges.RLIMIT_NAMES),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
)


@given(
    st.sets(st.sampled_from([*NAMES, "ALL"])),
    st.sets(st.sampled_from([*NAMES, "ALL"])),
    st.lists(limits, max_size=4),
)
def test_any_choice_is_sound_and_goes_through_json(
    add: set[str], drop: set[str], chosen: list[Rlimit]
) -> None:
    drop -= add
    made = change_capabilities(privileges.change_rlimits(Privileges(), chosen), add, drop)
    assert set(made.ambient) <= set(made.capabilities)
    assert not set(made.capabilities) & drop
    assert add - {"ALL"} <= set(made.capabilities)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Privileges) == made
    assert hash(made) == hash(change_capabilities(made, (), ()))
