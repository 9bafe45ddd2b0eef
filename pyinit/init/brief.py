"""The end of a container whose command was over before init had begun to run on trio."""

from __future__ import annotations

import os
import time

from pyinit.init.config import InitConfig, LogConfig, Logged
from pyinit.init.log_files import LogFolder
from pyinit.init.log_framing import Framer
from pyinit.init.record import write_exit_record
from pyinit.spec.status import ExitStatus

# As the log of the main command is called, and more than a pipe holds.
MAIN = "main"
CHUNK = 1 << 20


def conclude(config: InitConfig, logged: Logged | None, status: ExitStatus) -> int:
    """Keep what the command wrote and how it ended. Returns the exit code to leave with.

    To be called when nobody is left who could write more.
    """
    if logged is not None and config.logs.folder is not None:
        _keep(config.logs.folder, config.logs, logged)
    write_exit_record(config.exit_record, status)
    return status.exit_code


def _keep(folder: int, limits: LogConfig, logged: Logged) -> None:
    files = LogFolder(folder, limits.size, limits.count)
    for stream, descriptor in (("stdout", logged.stdout), ("stderr", logged.stderr)):
        data = os.read(descriptor, CHUNK)
        if data:
            framer, now = Framer(stream), time.time_ns()
            files.write(MAIN, framer.feed(data, now) + framer.end(now))
