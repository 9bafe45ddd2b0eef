"""From a seccomp profile to the BPF that PID 1 loads: on the host, by libseccomp."""

from __future__ import annotations

import os
from types import ModuleType

from pyinit.container.seccomp_profile import (
    EPERM,
    Argument,
    Machine,
    Profile,
    Rule,
    applying_rules,
    names_of_architectures,
    parse_profile,
    syscall_names,
)
from pyinit.errors import SystemFault, Unsupported, UsageError

_OWN_ARCHITECTURES = {
    "x86_64": "SCMP_ARCH_X86_64",
    "aarch64": "SCMP_ARCH_AARCH64",
    "riscv64": "SCMP_ARCH_RISCV64",
    "s390x": "SCMP_ARCH_S390X",
}

# A tree of comparisons in place of a list: a call is decided after some 10, not 300.
_BINARY_TREE = 2
_MAX_ERRNO = 4095

WITHOUT_LIBSECCOMP = (
    "no seccomp filter: libseccomp or its Python module is missing; install libseccomp2 and"
    " pyseccomp, or say --security-opt seccomp=unconfined"
)


def build(content: bytes, name: str, machine: Machine) -> bytes:
    """The program for a profile's `content`; `name` is for errors.

    Raises Unsupported without libseccomp, UsageError, SystemFault.
    """
    scmp = _library()
    profile = parse_profile(content, name)
    try:
        return _export(_build(scmp, profile, machine, name))
    except OSError as error:
        raise SystemFault(f"compile the seccomp profile {name}", error) from None


def _library() -> ModuleType:
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError, AttributeError):
        raise Unsupported(WITHOUT_LIBSECCOMP) from None
    module: ModuleType = pyseccomp
    return module


def _build(scmp: ModuleType, profile: Profile, machine: Machine, name: str) -> object:
    default = _action(
        scmp, profile.default_action, profile.default_errno_ret, f"{name}: defaultAction"
    )
    made = scmp.SyscallFilter(default)
    # A call of a kind of machine that the profile does not speak of ends its process.
    made.set_attr(scmp.Attr.ACT_BADARCH, scmp.KILL_PROCESS)
    made.set_attr(scmp.Attr.CTL_OPTIMIZE, _BINARY_TREE)
    _add_architectures(scmp, made, profile, machine, name)
    for rule in applying_rules(profile, machine):
        _add_rule(scmp, made, rule, default, name)
    return made


def _add_architectures(
    scmp: ModuleType, made: object, profile: Profile, machine: Machine, name: str
) -> None:
    native = _OWN_ARCHITECTURES.get(machine.machine, "")
    for wanted in sorted(names_of_architectures(profile, native) - {native}):
        number = getattr(scmp.Arch, wanted.removeprefix("SCMP_ARCH_"), None)
        if number is None:
            raise UsageError(f"seccomp profile {name}: {wanted!r} is no architecture")
        if _same_byte_order(scmp, number):
            made.add_arch(number)  # type: ignore[attr-defined]


def _same_byte_order(scmp: ModuleType, number: int) -> bool:
    """libseccomp takes no others in one filter, and no program of them could run here."""
    little = 0x40000000  # __AUDIT_ARCH_LE of linux/audit.h
    return bool(number & little) == bool(scmp.system_arch() & little)


def _add_rule(scmp: ModuleType, made: object, rule: Rule, default: int, name: str) -> None:
    action = _action(scmp, rule.action, rule.errno_ret, f"{name}: {', '.join(syscall_names(rule))}")
    if action == default:
        return  # libseccomp takes no rule that changes nothing
    arguments = [_argument(scmp, argument, name) for argument in rule.args or ()]
    for call in syscall_names(rule):
        number = scmp.resolve_syscall(scmp.Arch.NATIVE, call)
        if number == -1:
            continue  # newer than libseccomp: the default action is what it gets
        made.add_rule(action, number, *arguments)  # type: ignore[attr-defined]


def _argument(scmp: ModuleType, argument: Argument, name: str) -> object:
    if not 0 <= argument.index <= 5 or not 0 <= argument.value < 2**64:
        raise UsageError(f"seccomp profile {name}: no such argument: {argument}")
    operator = getattr(scmp, argument.op.removeprefix("SCMP_CMP_"))
    return scmp.Arg(argument.index, operator, argument.value, argument.value_two)


def _action(scmp: ModuleType, name: str, number: int | None, where: str) -> int:
    short = name.removeprefix("SCMP_ACT_")
    if short != "ERRNO":
        return int(getattr(scmp, short))
    value = EPERM if number is None else number
    if not 0 <= value <= _MAX_ERRNO:
        raise UsageError(f"seccomp profile {where}: errno {value} is not 0 to {_MAX_ERRNO}")
    return int(scmp.ERRNO(value))


def _export(made: object) -> bytes:
    with os.fdopen(os.memfd_create("seccomp", os.MFD_CLOEXEC), "r+b") as file:
        made.export_bpf(file)  # type: ignore[attr-defined]
        file.seek(0)
        return file.read()
