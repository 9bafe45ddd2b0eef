"""Seccomp profiles in the format that podman and Docker share, and which of their rules apply.

Pure: what a profile says for a machine and a set of capabilities. The format is that of
containers-common's seccomp.json(5), a superset of the OCI runtime specification's: rules
may depend on capabilities, architecture and the kernel's version.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from pyinit.errors import NotFound, SystemFault, UsageError

MAX_PROFILE = 4 << 20
EPERM = 1

Action = Literal[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_TRAP",
]
Operator = Literal[
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
]

# Names of uname -m, and those that profiles use in "arches" (Go's).
GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64", "s390x": "s390x"}


class _Struct(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """A field that is not known here could be a condition: better to refuse than to drop it."""


class Argument(_Struct, frozen=True, kw_only=True):
    """A condition on one of the six arguments; `value` is the mask of a MASKED_EQ."""

    index: int
    value: int
    value_two: int = 0
    op: Operator


class Condition(_Struct, frozen=True, kw_only=True):
    """When a rule applies (`includes`: all of it) or does not (`excludes`: any of it)."""

    caps: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    min_kernel: str = ""


class Rule(_Struct, frozen=True, kw_only=True):
    """What happens to some system calls, where all `args` hold."""

    names: tuple[str, ...] = ()
    name: str = ""
    action: Action
    errno_ret: int | None = None
    errno: str = ""
    args: tuple[Argument, ...] | None = ()
    includes: Condition | None = None
    excludes: Condition | None = None
    comment: str = ""


class Architecture(_Struct, frozen=True, kw_only=True):
    """An architecture, and those whose programs it runs too."""

    architecture: str
    sub_architectures: tuple[str, ...] | None = ()


class Profile(_Struct, frozen=True, kw_only=True):
    """A whole profile."""

    default_action: Action
    default_errno_ret: int | None = None
    default_errno: str = ""
    architectures: tuple[str, ...] | None = ()
    arch_map: tuple[Architecture, ...] | None = ()
    syscalls: tuple[Rule, ...] | None = ()


class Machine(NamedTuple):
    """For what a profile is read: uname's machine and release, and the workload's capabilities."""

    machine: str
    release: str
    capabilities: frozenset[str]


def read_profile(path: str) -> bytes:
    """The content of a profile on the host. Raises NotFound, UsageError, SystemFault."""
    try:
        with Path(path).open("rb") as opened:
            content = opened.read(MAX_PROFILE + 1)
    except FileNotFoundError:
        raise NotFound(f"seccomp profile {path}: no such file") from None
    except OSError as error:
        raise SystemFault(f"read the seccomp profile {path}", error) from None
    if len(content) > MAX_PROFILE:
        raise UsageError(f"seccomp profile {path}: more than {MAX_PROFILE >> 20} MiB")
    return content


def parse_profile(content: bytes, name: str) -> Profile:
    """A profile from its JSON. Raises UsageError that names the file and the place in it."""
    try:
        return msgspec.json.decode(content, type=Profile)
    except msgspec.DecodeError as error:
        raise UsageError(f"seccomp profile {name}: {error}") from None


def applying_rules(profile: Profile, machine: Machine) -> Iterator[Rule]:
    """The rules that apply, in order."""
    for rule in profile.syscalls or ():
        included = rule.includes is None or _all_of(rule.includes, machine)
        excluded = rule.excludes is not None and _any_of(rule.excludes, machine)
        if included and not excluded:
            yield rule


def names_of_architectures(profile: Profile, native: str) -> set[str]:
    """All that the profile covers, as SCMP_ARCH_ names; `native` is the machine's own."""
    names = {native, *(profile.architectures or ())}
    for entry in profile.arch_map or ():
        if entry.architecture == native:
            names.update(entry.sub_architectures or ())
    return names


def syscall_names(rule: Rule) -> tuple[str, ...]:
    """The names in a rule, in either spelling of the format."""
    return rule.names or ((rule.name,) if rule.name else ())


def _all_of(condition: Condition, machine: Machine) -> bool:
    architecture = not condition.arches or _architecture(machine) in condition.arches
    kernel = not condition.min_kernel or _new_enough(condition.min_kernel, machine)
    return set(condition.caps) <= machine.capabilities and architecture and kernel


def _any_of(condition: Condition, machine: Machine) -> bool:
    architecture = _architecture(machine) in condition.arches
    kernel = bool(condition.min_kernel) and _new_enough(condition.min_kernel, machine)
    return bool(set(condition.caps) & machine.capabilities) or architecture or kernel


def _architecture(machine: Machine) -> str:
    return GO_NAMES.get(machine.machine, machine.machine)


def _new_enough(wanted: str, machine: Machine) -> bool:
    return _version(machine.release) >= _version(wanted)


def _version(text: str) -> tuple[int, int]:
    numbers = []
    for part in text.split(".")[:2]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        numbers.append(int(digits or 0))
    return (numbers[0], numbers[1] if len(numbers) > 1 else 0)
