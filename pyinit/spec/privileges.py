"""With what power a workload runs: capabilities, no_new_privs, seccomp, limits. Pure values.

The options carry podman's names and meanings. Every reader of an option raises one
UsageError that names the value and says what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from pyinit.errors import UsageError
from pyinit.linux.capability_names import NAMES, canonical, mask_of, names_of

UNLIMITED = -1
"""RLIM_INFINITY, as getrlimit(2) of CPython gives it."""

SECCOMP_DEFAULT = "default"
SECCOMP_UNCONFINED = "unconfined"

# The eleven of podman, less two.
# SETFCAP: writing file capabilities. With no_new_privs they have no effect in here, but on
# a shared volume they would arm a file for whoever executes it on the host. dpkg's scripts
# fall back to other means where setcap fails.
# SETPCAP: changing securebits and the bounding set, and raising the inheritable set up to
# it. Programs give up capabilities without it; only a container manager needs it.
# The others stay because package managers (CHOWN, DAC_OVERRIDE, FOWNER, FSETID), servers
# that start as root (SETUID, SETGID, NET_BIND_SERVICE, KILL) and those that lock themselves
# in, such as sshd, postfix and haproxy (SYS_CHROOT), stop working without.
DEFAULT_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
)

# As podman and setrlimit(2) name them, without RLIMIT_.
RLIMIT_NAMES = (
    *("as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue"),
    *("nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"),
)

_MOST = 2**63 - 1
_NUMBER = r"[0-9]{1,19}"
_OCTAL = r"[0-7]{1,4}"
_SIGNED = r"[+-]?[0-9]{1,4}"


class Rlimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One resource limit: a name of RLIMIT_NAMES, numbers of the resource's unit or UNLIMITED."""

    name: str
    soft: int
    hard: int

    def __post_init__(self) -> None:
        if self.name not in RLIMIT_NAMES:
            raise UsageError(f"ulimit {self.name!r}: the names are {', '.join(RLIMIT_NAMES)}")
        for value in (self.soft, self.hard):
            if not UNLIMITED <= value <= _MOST:
                raise UsageError(f"ulimit {self.name}={value}: give 0 to 2^63-1, or unlimited")
        above = self.soft == UNLIMITED or self.soft > self.hard
        if self.hard != UNLIMITED and above:
            raise UsageError(
                f"ulimit {self.name}={_shown(self.soft)}:{_shown(self.hard)}:"
                " the soft limit is above the hard one"
            )


class Privileges(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a workload may do. Hashable, so that what runs with the same power can be shared.

    `capabilities` are what root holds, and the bounding set of everybody. `ambient` are
    what other users hold: only what was asked for by name, as with podman. `seccomp` is
    "default", the path of an OCI profile on the host, or None for no filter.
    `oom_score_adj` is -1000 to 1000, `umask` is the creation mask of commands.
    """

    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    ambient: tuple[str, ...] = ()
    no_new_privs: bool = True
    seccomp: str | None = SECCOMP_DEFAULT
    rlimits: tuple[Rlimit, ...] = ()
    oom_score_adj: int = 0
    umask: int = 0o022

    def __post_init__(self) -> None:
        for name in (*self.capabilities, *self.ambient):
            if name not in NAMES:
                raise UsageError(f"capability {name!r}: use the kernel's names, such as CAP_CHOWN")
        if not set(self.ambient) <= set(self.capabilities):
            raise UsageError("ambient capabilities must be among the capabilities")
        if not -1000 <= self.oom_score_adj <= 1000:
            raise UsageError(f"oom-score-adj {self.oom_score_adj}: give -1000 to 1000")
        if not 0 <= self.umask <= 0o777:
            raise UsageError(f"umask {self.umask:o}: give 0000 to 0777, octal")

    def mask(self) -> int:
        """The capabilities as a set of `capability_names`."""
        return mask_of(self.capabilities)

    def ambient_mask(self) -> int:
        """The ambient capabilities as a set of `capability_names`."""
        return mask_of(self.ambient)


# --privileged: nothing is held back that namespaces don't hold back anyway.
PRIVILEGED = Privileges(capabilities=NAMES, no_new_privs=False, seccomp=None)


def change_capabilities(
    base: Privileges, add: Iterable[str] = (), drop: Iterable[str] = ()
) -> Privileges:
    """`base` with --cap-add and --cap-drop applied, each a capability or ALL.

    As podman: dropping ALL leaves what is added by name; adding ALL less what is dropped
    by name. What is added by name, or by ALL, a user other than root holds as well.
    Raises UsageError, also when one capability is both added and dropped.
    """
    added = {read_capability(name, "--cap-add") for name in add}
    dropped = {read_capability(name, "--cap-drop") for name in drop}
    for name in sorted(added & dropped):
        raise UsageError(f"{name} is in both --cap-add and --cap-drop: leave one of them out")
    have = set(NAMES) if "ALL" in added else set(base.capabilities) | added
    if "ALL" in dropped:
        have = set(added)
    more = set(NAMES) if "ALL" in added else added
    ambient = (set(base.ambient) | more) & have - dropped
    return msgspec.structs.replace(
        base, capabilities=_ordered(have - dropped), ambient=_ordered(ambient)
    )


def change_rlimits(base: Privileges, limits: Iterable[Rlimit]) -> Privileges:
    """`base` with these resource limits in addition, or in place of its own of that name."""
    merged = {limit.name: limit for limit in (*base.rlimits, *limits)}
    return msgspec.structs.replace(base, rlimits=tuple(merged[name] for name in sorted(merged)))


def change_no_new_privs(base: Privileges, wanted: bool | None) -> Privileges:
    """`base` with no_new_privs as wanted, or as it is for None."""
    if wanted is None:
        return base
    return msgspec.structs.replace(base, no_new_privs=wanted)


def rlimits_of(limits: Mapping[str, tuple[int, int]]) -> tuple[Rlimit, ...]:
    """Limits by name as (soft, hard), in order of name. Raises UsageError."""
    return tuple(Rlimit(name, *limits[name]) for name in sorted(limits))


def read_capability(text: str, option: str) -> str:
    """A capability in any spelling, with or without CAP_, or ALL. Raises UsageError."""
    if text.strip().upper() == "ALL":
        return "ALL"
    try:
        return canonical(text)
    except KeyError:
        raise UsageError(
            f"{option} {text[:40]!r}: no such capability; capabilities(7) lists them, or say ALL"
        ) from None


def read_ulimit(text: str) -> Rlimit:
    """The value of `--ulimit`: NAME=SOFT[:HARD]; -1 or unlimited is no limit. Raises UsageError."""
    name, equals, value = text.partition("=")
    soft, colon, hard = value.partition(":")
    short = name.lower().removeprefix("rlimit_")
    if not equals or not soft or (colon and not hard):
        raise UsageError(f"--ulimit {text[:60]!r}: give NAME=SOFT[:HARD], such as nofile=1024:4096")
    if short not in RLIMIT_NAMES:
        raise UsageError(f"--ulimit {text[:60]!r}: the names are {', '.join(RLIMIT_NAMES)}")
    return Rlimit(short, _read_limit(text, soft), _read_limit(text, hard or soft))


def _read_limit(text: str, value: str) -> int:
    if value.lower() in ("-1", "unlimited", "infinity"):
        return UNLIMITED
    if not re.fullmatch(_NUMBER, value) or int(value) > _MOST:
        raise UsageError(
            f"--ulimit {text[:60]!r}: {value[:30]!r} is neither 0 to 2^63-1 nor unlimited"
        )
    return int(value)


def read_umask(text: str) -> int:
    """The value of `--umask`: octal, 0000 to 0777. Raises UsageError."""
    if not re.fullmatch(_OCTAL, text) or int(text, 8) > 0o777:
        raise UsageError(f"--umask {text[:20]!r}: give 0000 to 0777, octal")
    return int(text, 8)


def read_oom_score_adj(text: str) -> int:
    """The value of `--oom-score-adj`: -1000 (never killed) to 1000. Raises UsageError."""
    if not re.fullmatch(_SIGNED, text) or not -1000 <= int(text) <= 1000:
        raise UsageError(f"--oom-score-adj {text[:20]!r}: give -1000 to 1000")
    return int(text)


def apply_security_option(base: Privileges, text: str) -> Privileges:
    """`base` with one `--security-opt`: no-new-privileges[=true|false], seccomp=PATH|unconfined.

    `seccomp=default` brings the built-in profile back. Raises UsageError.
    """
    key, separator, value = _split_option(text)
    if key == "no-new-privileges":
        choice = _read_flag(text, value) if separator else True
        return msgspec.structs.replace(base, no_new_privs=choice)
    if key == "seccomp" and value:
        profile = None if value == SECCOMP_UNCONFINED else value
        return msgspec.structs.replace(base, seccomp=profile)
    raise UsageError(
        f"--security-opt {text[:60]!r}: give no-new-privileges[=false], seccomp=PATH"
        " or seccomp=unconfined"
    )


def _split_option(text: str) -> tuple[str, Literal["=", ":", ""], str]:
    """KEY=VALUE, or KEY:VALUE as Docker's older form has it."""
    separators: tuple[Literal["=", ":"], ...] = ("=", ":")
    for separator in separators:
        key, found, value = text.partition(separator)
        if found:
            return key, separator, value
    return text, "", ""


def _read_flag(text: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise UsageError(f"--security-opt {text[:60]!r}: give true or false, not {value[:20]!r}")
    return value == "true"


def _ordered(names: set[str]) -> tuple[str, ...]:
    """By number, and without ALL, which is no capability."""
    return names_of(mask_of(names - {"ALL"}))


def _shown(value: int) -> str:
    return "unlimited" if value == UNLIMITED else str(value)
