"""`pyinit [OPTIONS] [--] CMD …`, from the command line to the exit code.

The command is started first, from an interpreter that has loaded next to nothing; what
serves a control socket is loaded while it runs already.
"""

from __future__ import annotations

import os
import sys

from pyinit.errors import PyinitError
from pyinit.init.entrypoint.host_notice import HostNotice
from pyinit.init.entrypoint.lean import LeanInit
from pyinit.init.entrypoint.options import Options, parse
from pyinit.init.entrypoint.payload import Payload, block_signals, start
from pyinit.init.entrypoint.report import Report
from pyinit.linux.early import become_subreaper, default_hidden_signals, die_with_parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# As tini and dumb-init leave when their own options are wrong.
WRONG_USE = 1


def main() -> NoReturn:
    """Be the entrypoint. Ends the process with the command's exit code."""
    try:
        options = parse(sys.argv, os.environ)
    except PyinitError as error:
        _leave(str(error), WRONG_USE)
    if options.show or options.check:
        from pyinit.init.entrypoint.answers import answer

        os._exit(answer(options))
    try:
        if options.services:
            from pyinit.init.entrypoint.supervised import run_supervised

            code = run_supervised(options, os.environb.copy())
        else:
            code = run(options, os.environb.copy())
    except (PyinitError, OSError) as error:
        _leave(str(error), 125)
    # Nothing is left to be tidied up, and the interpreter would take 3 ms for it.
    os._exit(code)


def _leave(message: str, code: int) -> NoReturn:
    os.write(2, f"pyinit: {message}\n".encode(errors="backslashreplace"))
    os._exit(code)


def run(options: Options, environment: dict[bytes, bytes]) -> int:
    """Start the command, be init until it has ended, and end what is left.

    Returns the exit code to leave with. Raises PyinitError or OSError when nothing could be
    started.
    """
    report = Report(options.level, options.log_format)
    notice = HostNotice(environment.get(b"NOTIFY_SOCKET"))
    listeners, handed = take_sockets(options, environment, report)
    if not options.pass_notify_socket:
        environment.pop(b"NOTIFY_SOCKET", None)
    become_init(options, report)
    block_signals()
    payload = start(options, environment, handed, report) if options.command else None
    for descriptor in handed:
        os.close(descriptor)
    if payload is None or payload.executed:
        notice.ready()
    code = _live(options, payload, listeners, environment, report)
    code = options.exit_code(code)
    notice.ended(code)
    return code


def take_sockets(
    options: Options, environment: dict[bytes, bytes], report: Report
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Control sockets to listen on, and sockets to hand on to the command."""
    listeners: list[int] = []
    handed: list[int] = []
    if b"LISTEN_FDS" in environment:
        from pyinit.init.entrypoint.sockets import take_handed

        listeners, handed = take_handed(environment)
    if options.control:
        from pyinit.init.entrypoint.control_folder import hide
        from pyinit.init.entrypoint.sockets import listen

        listeners.append(listen(options.control))
        if not options.keep_control_folder:
            kept = hide(options.control)
            if kept:
                report.info("control folder stays mounted", reason=kept)
    return tuple(listeners), tuple(handed)


def become_init(options: Options, report: Report) -> None:
    default_hidden_signals()
    if options.parent_death and not die_with_parent(options.parent_death):
        report.error("can't ask for a signal at the parent's death")
    if (options.subreaper or os.getpid() != 1) and not become_subreaper():
        report.error("can't become the reaper of orphans; they go to another process")


def _live(
    options: Options,
    payload: Payload | None,
    listeners: tuple[int, ...],
    environment: dict[bytes, bytes],
    report: Report,
) -> int:
    pid = payload.pid if payload is not None else None
    if listeners and (payload is None or payload.executed):
        from pyinit.init.entrypoint.full import run_full

        return run_full(options, pid, listeners, environment)
    assert pid is not None
    lean = LeanInit(pid, options.forwarding(), report, warn_orphans=options.warn_orphans)
    code = lean.run()
    lean.end(options.grace)
    return code
