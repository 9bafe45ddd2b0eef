"""Hearing that the kernel killed processes of the container for want of memory."""

from __future__ import annotations

from collections.abc import Callable

import trio

from pyinit.linux.cgroup_oom import OomWatch
from pyinit.linux.cgroups import PayloadGroups

# cgroup v1 tells before the kernel has killed anybody: so long it is looked whether it has, in
# seconds between two looks.
LOOKS = (0.0, 0.01, 0.05, 0.2, 1.0)


async def watch_oom(groups: PayloadGroups | None, tell: Callable[[int], None]) -> None:
    """Call `tell` with the number of processes each time some were killed.

    Returns at once where there is no cgroup that counts memory.
    """
    group = None if groups is None else groups.controllers.get("memory")
    if group is None:
        return
    try:
        watch = OomWatch(group)
    except OSError:
        return  # no right to it, or a kernel without
    with watch:
        await _watch(watch, tell)


async def _watch(watch: OomWatch, tell: Callable[[int], None]) -> None:
    known = watch.count()
    while True:
        await trio.lowlevel.wait_readable(watch.fileno())
        for pause in LOOKS:
            await trio.sleep(pause)
            count = watch.count()
            if count > known:
                tell(count - known)
                known = count
                break
