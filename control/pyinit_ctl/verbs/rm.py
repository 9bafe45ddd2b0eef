"""`pyinit-ctl rm`: forget a container that has ended."""

from __future__ import annotations

import _signal
import os

from pyinit.container import clearing, folder
from pyinit.errors import InUse, NotFound
from pyinit_ctl import records, registry
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.ending import await_end
from pyinit_ctl.flags import FLAG, Given, Option
from pyinit_ctl.verb import Verb


def rm(given: Given, words: list[str]) -> int:
    """Carry out the verb. Raises PyinitError."""
    force = given.flag("force")
    for name in words:
        try:
            found = registry.container(name)
        except NotFound:
            if force:
                continue
            raise
        remove(found, force)
    return 0


def remove(target: registry.Target, force: bool) -> None:
    """Remove one. Raises InUse if it runs and `force` is not set."""
    process = records.open_process(records.read_state(target))
    if process is not None:
        if not force:
            os.close(process)
            raise InUse(f"container {str(target)!r} runs: stop it first, or give --force")
        _signal.pidfd_send_signal(process, _signal.SIGKILL)
        clearing.end_left(str(target))
        await_end(process, BlockingClient(target), None)
    with folder.locked(str(target)) as path:
        if folder.is_listening(path / folder.SOCKET_NAME):
            raise InUse(f"an init answers for {str(target)!r} still: stop it first")
        clearing.remove(path)


VERB = Verb(
    "rm",
    "Remove containers that have ended: their records, logs and what they had on the host.",
    (Option("f", "force", FLAG, "", "Kill those that run; no error for those not there."),),
    ("TARGET...",),
    rm,
)
