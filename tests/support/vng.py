"""Boots Debian's own kernel by virtme-ng in a software-emulated machine: it has what
user-mode-linux lacks (PSI, several CPUs, all of nftables), and takes a minute per boot."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

NAME = "debian"
PACKAGES = ("linux-image-amd64", "qemu-system-x86", "busybox-static", "kmod", "iproute2")
LIMIT_S = 1200


def command(guest: Path, results: Path, environment: dict[str, str]) -> list[str]:
    """The command that boots with the host's root below overlays, and runs ``guest``.

    /dev/kvm is left alone: guests hang on machines that are virtual themselves. 9p takes the
    host's files where virtiofsd is not installed.
    """
    words = [f"{name}={value}" for name, value in environment.items()]
    # virtme-ng hides parts of /var; all the rest of the host it shows.
    readable = [folder for folder in environment["VM_KEEP"].split() if folder.startswith("/var/")]
    scripts = Path(sys.executable).parent
    return [
        # vng starts virtme-run by name.
        *("env", f"PATH={scripts}:{os.environ['PATH']}", "vng"),
        "--disable-kvm",
        "--force-9p",
        *("--run", str(newest_kernel())),
        *("--user", "root"),
        *("--cpus", "2"),
        *("--memory", "2G"),
        *(f"--rodir={folder}" for folder in readable),
        f"--rwdir={results}",
        *("--exec", shlex.join(["env", *words, str(guest)])),
    ]


def newest_kernel() -> Path:
    """Debian's newest installed kernel that has 9p, which the cloud image lacks."""
    images = [path for path in Path("/boot").glob("vmlinuz-*-amd64") if "cloud" not in path.name]
    return max(images, key=lambda path: path.stat().st_mtime)
