"""exit.json: how the container ended, written by PID 1 itself as its last word."""

from __future__ import annotations

import os
import time

import msgspec
from msgspec import Struct

from pyinit.spec.status import ExitStatus


class ExitRecord(Struct, frozen=True):
    """`ended` in seconds since 1970; `exit_code` as a shell would show the status."""

    code: int | None
    signal: int | None
    exit_code: int
    reason: str
    ended: float


def write_exit_record(
    descriptor: int | None, status: ExitStatus, reason: str = ""
) -> OSError | None:
    """Fill the file that was opened before the pivot; nothing where there is none.

    Returns what kept the record from being written, which is nobody's end but its own.
    """
    if descriptor is None:
        return None
    reason = reason or ("exited" if status.signal is None else "killed")
    record = ExitRecord(status.code, status.signal, status.exit_code, reason, time.time())
    try:
        os.pwrite(descriptor, msgspec.json.encode(record), 0)
        os.fsync(descriptor)
    except OSError as error:
        return error
    return None
