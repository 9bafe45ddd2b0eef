"""From the lean start to the whole of init: load trio while the command runs, and adopt it.

Signals that come meanwhile go on to the command at once, by handlers that need nothing; its
end is not waited for before the reaper is there, so no status can be lost.
"""

from __future__ import annotations

import os

from pyinit.init.entrypoint.options import Options
from pyinit.init.forwarding import HANDLED, Forwarding

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable

    from pyinit.spec.service import Services
else:
    import _signal


def forward_meanwhile(pid: int | None, forwarding: Forwarding) -> None:
    """Let signals through to the command. Without one they wait for whom it may concern."""
    if pid is None:
        return

    def pass_on(number: int, _frame: object) -> None:
        if number not in (_signal.SIGCHLD, _signal.SIGPIPE):
            forwarding.deliver(pid, number)

    for number in HANDLED:
        _signal.signal(number, pass_on)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, HANDLED)


def run_full(
    options: Options,
    pid: int | None,
    listeners: tuple[int, ...],
    environment: dict[bytes, bytes],
    services: Services | None = None,
    on_up: Callable[[], None] | None = None,
) -> int:
    """Be init with a control socket or services until the command, or the last of them ends.

    Returns the exit code to leave with. `on_up` is called when the services are up.
    """
    forwarding = options.forwarding()
    forward_meanwhile(pid, forwarding)
    from pyinit.init.config import Adopted, InitConfig, LogConfig
    from pyinit.init.start import seal_and_run
    from pyinit.spec.privileges import PRIVILEGED

    config = InitConfig(
        name=options.name or os.uname().nodename,
        command=tuple(options.command),
        environment={os.fsdecode(key): os.fsdecode(environment[key]) for key in environment},
        workdir=os.getcwd(),
        user=None if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}",
        # What the runtime left to this container is what its commands may have, too.
        privileges=PRIVILEGED,
        grace=options.grace,
        listeners=listeners,
        adopted=None if pid is None else Adopted(pid=pid),
        forwarding=forwarding,
        warn_orphans=options.warn_orphans,
        log_level=options.level,
        log_format=options.log_format,
        services=services or {},
        on_up=on_up,
        # Whoever runs this container collects the output of its PID 1.
        logs=LogConfig(console=(1, 2)),
    )
    return seal_and_run(config, lambda: None)
