"""Waiting for the end of a container."""

from __future__ import annotations

import os
import select

from pyinit_ctl.blocking import BlockingClient


def await_end(process: int | None, client: BlockingClient, seconds: float | None) -> bool:
    """Whether the container ended within `seconds`.

    By the pidfd `process` of its init, which is closed; without one (a socket whose
    container keeps no records here) by the end of the connection, which ends with the init.
    """
    if process is None:
        return client.await_hang_up(seconds)
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))
    finally:
        os.close(process)
