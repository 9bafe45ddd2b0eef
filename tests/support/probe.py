"""What this machine can do, and how a test asks for it.

A test that the machine can't run is skipped with the reason; under ``PYINIT_MUST_RUN=1`` (set by
``.ci/run``) tests/conftest.py turns every skip into a failure.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

MUST_RUN = os.environ.get("PYINIT_MUST_RUN") == "1"

CLONE_NEWUSER = 0x10000000


def is_root() -> bool:
    return os.geteuid() == 0


@functools.cache
def installed(package: str) -> bool:
    """Whether Debian's package database knows ``package`` as installed."""
    if shutil.which("dpkg-query") is None:
        return False
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0 and done.stdout == "installed"


@functools.cache
def user_namespaces() -> bool:
    """Whether an ordinary process may make a user namespace (user_namespaces(7))."""
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        os._exit(0 if libc.unshare(CLONE_NEWUSER) == 0 else 1)
    return os.waitpid(pid, 0)[1] == 0


def cgroup2_controllers() -> frozenset[str]:
    """The controllers of the cgroup2 mount at /sys/fs/cgroup, none where v1 has that place."""
    try:
        names = Path("/sys/fs/cgroup/cgroup.controllers").read_text()
    except OSError:
        return frozenset()
    return frozenset(names.split())


def cgroup1_controllers() -> frozenset[str]:
    """The controllers that are mounted as cgroup v1 hierarchies."""
    found: set[str] = set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.startswith("cgroup "):
            found.add(os.path.basename(fields.split()[4]))
    return frozenset(found)


def filesystem(name: str) -> bool:
    """Whether the running kernel has this file system now, without loading a module."""
    known = Path("/proc/filesystems").read_text().split()
    return name in known


def require_root() -> None:
    if not is_root():
        pytest.skip("needs root: run make test as root")


def require_package(*names: str) -> None:
    missing = [name for name in names if not installed(name)]
    if missing:
        pytest.skip(f"needs Debian's {' '.join(missing)}: run make packages as root")


def require_user_namespaces() -> None:
    if not user_namespaces():
        pytest.skip("needs user namespaces: see kernel.unprivileged_userns_clone, AppArmor")


def require_filesystem(name: str) -> None:
    if not filesystem(name):
        pytest.skip(f"needs {name} in the kernel: modprobe {name}")
