"""The entrypoint with services: read them first, and start the command when they are up.

There is nothing to win by starting lean here: the services need all of init.
"""

from __future__ import annotations

import os

from pyinit.init.entrypoint.full import run_full
from pyinit.init.entrypoint.host_notice import HostNotice
from pyinit.init.entrypoint.main import become_init, take_sockets
from pyinit.init.entrypoint.options import Options
from pyinit.init.entrypoint.payload import Gate, block_signals, start
from pyinit.init.entrypoint.report import Report
from pyinit.spec.services_file import load_services


def run_supervised(options: Options, environment: dict[bytes, bytes]) -> int:
    """Be init of services, and of a command where there is one. Returns the exit code.

    Raises PyinitError, with every fault of the files, before anything is started; OSError.
    """
    services = load_services(options.services)
    report = Report(options.level, options.log_format)
    notice = HostNotice(environment.get(b"NOTIFY_SOCKET"))
    listeners, handed = take_sockets(options, environment, report)
    if not options.pass_notify_socket:
        environment.pop(b"NOTIFY_SOCKET", None)
    become_init(options, report)
    block_signals()
    gate = Gate()
    payload = start(options, environment, handed, report, gate) if options.command else None
    for descriptor in handed:
        os.close(descriptor)

    def on_up() -> None:
        notice.ready()
        if payload is not None:
            gate.open()

    pid = payload.pid if payload is not None else None
    code = options.exit_code(run_full(options, pid, listeners, environment, services, on_up))
    notice.ended(code)
    return code
