"""`pyinit-ctl update`: other limits for a container that runs."""

from __future__ import annotations

from typing import Any

import click

from pyinit.container import cgroup, folder, state
from pyinit.errors import NotFound, SystemFault, Unsupported, UsageError
from pyinit_ctl import registry
from pyinit_ctl.run_options import LIMIT_OPTIONS, read_limits


def _with_limits(command: click.Command) -> click.Command:
    command.params = [*LIMIT_OPTIONS, *command.params]
    return command


@_with_limits
@click.command("update")
@click.argument("target")
def command(target: str, **values: Any) -> None:
    """Change the limits of a container that runs: all that are given, or none.

    A limit that is not named stays as it is; -1 takes one off.
    """
    limits = read_limits(values)
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
