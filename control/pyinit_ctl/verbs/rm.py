"""`pyinit-ctl rm`: forget a container that has ended."""

from __future__ import annotations

import os
import signal

import click

from pyinit.container import clearing, folder
from pyinit.errors import InUse, NotFound
from pyinit_ctl import records, registry
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.ending import await_end


@click.command("rm")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET…")
@click.option(
    "-f", "--force", is_flag=True, help="Kill those that run; no error for those not there."
)
def command(targets: tuple[str, ...], force: bool) -> None:
    """Remove containers that have ended: their records, logs and what they had on the host."""
    for name in targets:
        try:
            found = registry.container(name)
        except NotFound:
            if force:
                continue
            raise
        remove(found, force)


def remove(target: registry.Target, force: bool) -> None:
    """Remove one. Raises InUse if it runs and `force` is not set."""
    process = records.open_process(records.read_state(target))
    if process is not None:
        if not force:
            os.close(process)
            raise InUse(f"container {str(target)!r} runs: stop it first, or give --force")
        signal.pidfd_send_signal(process, signal.SIGKILL)
        clearing.end_left(str(target))
        await_end(process, BlockingClient(target), None)
    with folder.locked(str(target)) as path:
        if folder.is_listening(path / folder.SOCKET_NAME):
            raise InUse(f"an init answers for {str(target)!r} still: stop it first")
        clearing.remove(path)
