"""From a seccomp profile to the BPF that PID 1 loads: on the host, by libseccomp.

PID 1 has no libseccomp and parses no profile. The compiled program is a few kilobytes
and is handed to it before the container exists.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import stat
import threading
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from pyinit import __version__
from pyinit.container.folder import make_run_directory
from pyinit.container.seccomp_profile import (
    EPERM,
    Argument,
    Machine,
    Profile,
    Rule,
    applying_rules,
    names_of_architectures,
    parse_profile,
    read_profile,
    syscall_names,
)
from pyinit.errors import PyinitError, SystemFault, Unsupported, UsageError
from pyinit.linux.seccomp import INSTRUCTION_SIZE
from pyinit.spec.privileges import SECCOMP_DEFAULT, Privileges

_OWN_ARCHITECTURES = {
    "x86_64": "SCMP_ARCH_X86_64",
    "aarch64": "SCMP_ARCH_AARCH64",
    "riscv64": "SCMP_ARCH_RISCV64",
    "s390x": "SCMP_ARCH_S390X",
}

# A tree of comparisons in place of a list: a call is decided after some 10, not 300.
_BINARY_TREE = 2
_MAX_ERRNO = 4095

CACHE_FOLDER = "seccomp"
_KEPT = 64  # compiled filters on disk, 4 kB each

WITHOUT_LIBSECCOMP = (
    "no seccomp filter: libseccomp or its Python module is missing; install libseccomp2 and"
    " pyseccomp, or say --security-opt seccomp=unconfined"
)


class Compiled(NamedTuple):
    """A filter for PID 1 to load, if there is one, and what the user should know about it."""

    program: bytes | None
    warning: str | None = None


def compile_filter(privileges: Privileges) -> Compiled:
    """The filter that these privileges ask for; the one of before where they are the same.

    Without libseccomp the default profile is left out with a warning: what it holds off is
    then up to capabilities alone. A profile that was asked for is not left out.
    Raises Unsupported, NotFound, UsageError, SystemFault.
    """
    if privileges.seccomp is None:
        return Compiled(None)
    machine = Machine(platform.machine(), platform.release(), frozenset(privileges.capabilities))
    built_in = privileges.seccomp == SECCOMP_DEFAULT
    try:
        content = default_profile() if built_in else read_profile(privileges.seccomp)
        return Compiled(_compiled(content, privileges.seccomp, machine))
    except Unsupported as error:
        if not built_in:
            raise
        return Compiled(None, str(error))


@functools.cache
def default_profile() -> bytes:
    """The profile that comes with pyinit."""
    return resources.files("pyinit.container").joinpath("seccomp_default.json").read_bytes()


@functools.lru_cache(maxsize=32)
def _compiled(content: bytes, name: str, machine: Machine) -> bytes:
    """The program, from this process's memory, the run folder, or libseccomp.

    Finding and loading libseccomp takes as long as compiling, together three times what
    the rest of a container does; so a program that runs once gains by the folder.
    """
    key = (__version__, content, machine.machine, machine.release, sorted(machine.capabilities))
    folder = _cache_folder()
    file = folder / hashlib.sha256(repr(key).encode()).hexdigest() if folder else None
    found = _read_cached(file) if file else None
    if found is not None:
        return found
    program = _compile(content, name, machine)
    if file:
        _keep(file, program)
    return program


def _cache_folder() -> Path | None:
    """Where compiled filters are kept: nobody else may write there, or there is no such place."""
    try:
        folder = make_run_directory() / CACHE_FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except (OSError, PyinitError):
        return None
    safe = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return folder if safe and stat.S_ISDIR(found.st_mode) else None


def _compile(content: bytes, name: str, machine: Machine) -> bytes:
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


def _read_cached(file: Path) -> bytes | None:
    with contextlib.suppress(OSError):
        content = file.read_bytes()
        if content and len(content) % INSTRUCTION_SIZE == 0:
            return content
    return None


def _keep(file: Path, program: bytes) -> None:
    """A convenience: what can't be kept is compiled again."""
    with contextlib.suppress(OSError):
        others = sorted(file.parent.iterdir(), key=lambda other: other.lstat().st_mtime)
        for old in others[: max(0, len(others) - _KEPT + 1)]:
            old.unlink()
        new = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_native_id()}")
        new.write_bytes(program)
        new.rename(file)
