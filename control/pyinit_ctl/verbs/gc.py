"""`pyinit-ctl gc`: clear away what ended containers left on the host."""

from __future__ import annotations

import os
import select

import click

from pyinit.container import clearing
from pyinit_ctl import records, registry
from pyinit_ctl.output import json_option, print_json


@click.command("gc")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
@click.option("--after-init", is_flag=True, hidden=True)  # run by the waiter of run_detached
@json_option
def command(names: tuple[str, ...], quiet: bool, after_init: bool, as_json: bool) -> None:
    """Clear away what ended containers left: cgroups, addresses, interfaces, ports, ids, sockets.

    Also after the init, its maker, or both were killed. Running ones are left alone, and so
    are exit statuses, logs and kept namespaces. `run` and `ls` do the same by themselves.
    """
    for name in names:
        target = registry.container(name)
        if after_init:
            clearing.end_left(name)
            _await_init(target)
        clearing.clear(name)
    cleared = list(names) if names else clearing.collect()
    if as_json:
        print_json({"cleared": cleared})
    elif not quiet:
        click.echo("".join(f"{name}\n" for name in cleared), nl=False)


def _await_init(target: registry.Target) -> None:
    """Return once the init is no more than a zombie, which takes longer than its descriptors."""
    process = records.open_process(records.read_state(target))
    if process is None:
        return
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.poll()
    os.close(process)
