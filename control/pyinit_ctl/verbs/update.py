"""`pyinit-ctl update`: other limits for a container that runs."""

from __future__ import annotations

from pyinit.container import cgroup, folder, state
from pyinit.errors import NotFound, SystemFault, Unsupported, UsageError
from pyinit_ctl import registry
from pyinit_ctl.flags import Given
from pyinit_ctl.run_options import read_limits
from pyinit_ctl.run_table import LIMIT_OPTIONS
from pyinit_ctl.verb import Verb


def update(given: Given, words: list[str]) -> int:
    """Change the limits of a container. Raises PyinitError."""
    (target,) = words
    limits = read_limits(given)
    if not limits.any():
        raise UsageError("nothing to change: give a limit, such as --memory 128m")
    name = registry.container(target).name
    assert name is not None
    with folder.locked(name) as path:
        found = state.load(path)
        if found is None or not found.is_alive():
            raise NotFound(f"container {name!r} does not run")
        if not found.cgroups:
            raise Unsupported(f"container {name!r} has no cgroup: nothing can be limited")
        try:
            groups = cgroup.reopen(found.name, found.cgroups)
        except OSError as error:
            raise SystemFault(f"open the cgroups of {name}", error) from error
        try:
            groups.apply(limits)
        finally:
            groups.close()
    return 0


VERB = Verb(
    "update",
    "Change the limits of a container that runs: all that are given, or none. A limit that is not"
    " named stays as it is; -1 takes one off.",
    LIMIT_OPTIONS,
    ("TARGET",),
    update,
)
