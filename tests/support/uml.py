"""Boots user-mode-linux: a Linux kernel that is an ordinary process, up in two seconds."""

from __future__ import annotations

from pathlib import Path

NAME = "user-mode-linux"
PACKAGES = ("user-mode-linux", "busybox-static", "kmod", "iproute2")
LIMIT_S = 900


def command(guest: Path, results: Path, environment: dict[str, str]) -> list[str]:
    """The command that boots with the host's root, read-only, and ``guest`` as PID 1.

    The kernel hands words of the form ``name=value`` that it doesn't know to its init.
    """
    return [
        "linux.uml",
        "mem=2G",
        "root=/dev/root",
        "rootfstype=hostfs",
        "rootflags=/",
        "ro",
        f"init={guest}",
        "con=null",
        "con0=fd:0,fd:1",
        "quiet",
        "panic=-1",
        *(f'{name}="{value}"' for name, value in environment.items()),
    ]
