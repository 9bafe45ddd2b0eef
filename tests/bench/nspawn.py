"""systemd-nspawn where no systemd runs, kept from the host: a shell that starts it when asked.

It makes groups below the one that it is in and moves itself there, so the shell has a group of
its own in systemd's hierarchies; and it is PID 1 of a pid namespace, with mounts of its own.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

HIERARCHIES = [Path(f"/sys/fs/cgroup{each}") for each in ("/systemd", "/unified", "")]
GROUP = "pyinit-bench-nspawn"

SCRIPT = """
mount --make-rprivate /
root=$1; shift
for group; do echo 0 >"$group/cgroup.procs"; done
while read -r _; do
    systemd-nspawn --quiet --register=no --keep-unit --console=pipe --resolv-conf=off \
        --timezone=off --link-journal=no --directory "$root" /bin/true \
        </dev/null >/dev/null 2>&1
    echo $?
done
"""


@contextlib.contextmanager
def ready(root: Path, copy: Path) -> Iterator[Callable[[], object]]:
    """A call that runs /bin/true by nspawn in a copy of `root`, since it insists on a /usr."""
    shutil.copytree(root, copy, symlinks=True)
    (copy / "usr").mkdir(exist_ok=True)
    groups = [each / GROUP for each in HIERARCHIES if (each / "cgroup.procs").exists()]
    for group in groups:
        group.mkdir(exist_ok=True)
    words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c"]
    shell = subprocess.Popen(
        [*words, SCRIPT, "sh", str(copy), *map(str, groups)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    asked, told = shell.stdin, shell.stdout

    def run() -> None:
        asked.write("\n")
        assert told.readline() == "0\n"

    try:
        yield run
    finally:
        asked.close()
        told.close()
        shell.wait()
        for group in groups:
            for inner in (group / "payload", group / "supervisor", group):
                with contextlib.suppress(FileNotFoundError):
                    inner.rmdir()
