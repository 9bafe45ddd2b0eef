"""The filter that PID 1 loads: the one of before, or compiled from a seccomp profile.

PID 1 has no libseccomp and parses no profile. The compiled program is a few kilobytes
and is handed to it before the container exists.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import os
import stat
from pathlib import Path
from typing import NamedTuple

from pyinit import __version__
from pyinit.container.folder import make_run_directory
from pyinit.errors import PyinitError, Unsupported
from pyinit.linux.seccomp import INSTRUCTION_SIZE
from pyinit.spec.privileges import SECCOMP_DEFAULT, Privileges

CACHE_FOLDER = "seccomp"
_KEPT = 64  # compiled filters on disk, 4 kB each


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
    capabilities = frozenset(privileges.capabilities)
    built_in = privileges.seccomp == SECCOMP_DEFAULT
    try:
        content = default_profile() if built_in else _read_profile(privileges.seccomp)
        return Compiled(_compiled(content, privileges.seccomp, capabilities))
    except Unsupported as error:
        if not built_in:
            raise
        return Compiled(None, str(error))


@functools.cache
def default_profile() -> bytes:
    """The profile that comes with pyinit."""
    with open(f"{os.path.dirname(__file__)}/seccomp_default.json", "rb") as file:
        return file.read()


def _read_profile(name: str) -> bytes:
    from pyinit.container.seccomp_profile import read_profile

    return read_profile(name)


@functools.lru_cache(maxsize=32)
def _compiled(content: bytes, name: str, capabilities: frozenset[str]) -> bytes:
    """The program, from this process's memory, the run folder, or libseccomp.

    Finding and loading libseccomp takes as long as compiling, together three times what
    the rest of a container does; so a program that runs once gains by the folder.
    """
    kernel = os.uname()
    folder = _cache_folder()
    key = (__version__, content, kernel.machine, kernel.release, sorted(capabilities))
    file = folder / _digest(repr(key).encode()) if folder else None
    found = _read_cached(file) if file else None
    if found is not None:
        return found
    from pyinit.container.seccomp_build import build
    from pyinit.container.seccomp_profile import Machine

    program = build(content, name, Machine(kernel.machine, kernel.release, capabilities))
    if file:
        _keep(file, program)
    return program


def _digest(key: bytes) -> str:
    # By itself: hashlib loads OpenSSL first, which takes 4 ms.
    from _blake2 import blake2b

    return blake2b(key, digest_size=32).hexdigest()


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
        new = file.with_name(f"{file.name}.{os.getpid()}.{_thread.get_native_id()}")
        new.write_bytes(program)
        new.rename(file)
