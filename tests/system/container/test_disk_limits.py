"""Limits of a disk in force, by what comes first and not by a clock."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import roots
from tests.support.containers import Host, host
from tests.support.disks import mounted_disk
from tests.support.targets import until

__all__ = ["host"]

pytestmark = [pytest.mark.root, pytest.mark.package("e2fsprogs", "busybox-static")]

SIZE = 4 << 20
SLOW = 65536  # bytes a second: the file takes a minute
READ = ("dd", "if=/data/file", "of=/dev/null", "bs=64k", "iflag=direct")
WRITE = ("dd", "if=/dev/zero", "bs=64k", "count=64", "oflag=direct")


def moved(host: Host, name: str, way: str) -> int:
    """Bytes so far."""
    return host.json("stats", name, "--json")[f"io_{way}"] or 0


@pytest.mark.parametrize(("way", "words"), [("read", READ), ("write", WRITE)])
def test_a_slow_disk(host: Host, tmp_path: Path, way: str, words: tuple[str, ...]) -> None:
    with mounted_disk(tmp_path) as (device, at):
        (at / "file").write_bytes(b"x" * SIZE)
        root = ("--layer", str(roots.busybox_root()), "-v", f"{at}:/data")
        slow = host.run(f"--device-{way}-bps", f"{device}:{SLOW}", *root, "--", "/bin/sleep", "999")
        fast = host.run(*root, "--", "/bin/sleep", "999")
        # Two who write to one file, or to one journal, wait for one another.
        here, there = ((f"of=/data/{each}",) * (way == "write") for each in ("slow", "fast"))
        late = host.start("exec", slow, "--", *words, *here, stderr=subprocess.DEVNULL)
        try:
            until(lambda: moved(host, slow, way))
            assert host.ctl("exec", fast, "--", *words, *there).returncode == 0
            assert late.poll() is None
            assert moved(host, slow, way) < SIZE
            host.ok("update", slow, f"--device-{way}-bps", f"{device}:-1")
            assert late.wait(60) == 0
        finally:
            late.kill()
            late.wait()
            host.clear()
