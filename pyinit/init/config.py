"""What PID 1 is told by whoever made its container, and the descriptors it is given."""

from __future__ import annotations

import os
from collections.abc import Callable

from msgspec import Struct, field

from pyinit.init.forwarding import Forwarding
from pyinit.init.leaf import Leaf
from pyinit.linux.cgroups import PayloadGroups
from pyinit.spec.container import TerminalSize
from pyinit.spec.privileges import Privileges
from pyinit.spec.service import Services
from pyinit.spec.status import ExitStatus

# Of the control socket: clients that wait to be accepted.
BACKLOG = 1024


class LogConfig(Struct, frozen=True, kw_only=True):
    """Where the output of the container's commands goes.

    `folder` is the descriptor of the folder for the files, None for none; each is of `size`
    bytes at most, and of each log `count` are kept. The main command's output is logged where
    it goes nowhere else, and with `main` beside going to the InitConfig's `stdio`. `console`
    are descriptors that get what services write to stdout and stderr, line by line.
    """

    folder: int | None = None
    size: int = 10 << 20
    count: int = 5
    main: bool = False
    console: tuple[int | None, int | None] | None = None


class Logged(Struct, frozen=True):
    """Where a command's output is to be read: the ends of two pipes, then the reader's own.

    `copies` are pipes or sockets that it goes to as well.
    """

    stdout: int
    stderr: int
    copies: tuple[int | None, int | None] = (None, None)

    def let_go(self) -> None:
        """Close what is copied to, once its reader has descriptors of its own."""
        for descriptor in {each for each in self.copies if each is not None}:
            os.close(descriptor)


class Adopted(Struct, frozen=True, kw_only=True):
    """A main command that was started before init was loaded, as a child of this process.

    `status` is set where it has ended and was waited for already. `leaf` is the cgroup that
    it was born in, `logged` its output, where that is init's to read.
    """

    pid: int
    status: ExitStatus | None = None
    leaf: Leaf | None = None
    logged: Logged | None = None


class InitConfig(Struct, frozen=True, kw_only=True):
    """Everything that init needs; it reads no file and no environment beyond this.

    `command` is empty for an idle container. `grace` is in seconds. Descriptors were opened
    outside the root: `listeners` are listening UNIX sockets; `stdio` are the main command's
    0, 1 and 2 (pipes, FIFOs or sockets, None for /dev/null); `terminal` asks for a pty in
    their place, whose master goes out by `ready`, a SEQPACKET socket that hears when the
    container can be attached to; `exit_record` is the file that keeps the exit status;
    `log` that of init's own log. Each may be missing.

    `adopted` is the main command where that was started already; `command` then only describes
    it. `forwarding` is how signals go on to it. `missed` are signals that came meanwhile.
    `warn_orphans` logs each orphan that is reaped as a warning. `log_level` is error,
    warning, info or debug; `log_format` console, json, or auto: what suits the descriptor.

    `services` are supervised. The command starts when they are up, which `on_up` is called
    for: an adopted one may wait for that.
    """

    name: str
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    workdir: str | None = None
    user: str | None = None
    grace: float = 10.0
    privileges: Privileges = Privileges()
    seccomp: bytes | None = None
    listeners: tuple[int, ...] = ()
    stdio: tuple[int | None, int | None, int | None] | None = None
    terminal: TerminalSize | None = None
    ready: int | None = None
    exit_record: int | None = None
    log: int | None = None
    log_level: str = "info"
    log_format: str = "auto"
    adopted: Adopted | None = None
    missed: tuple[int, ...] = ()
    forwarding: Forwarding = field(default_factory=Forwarding)
    warn_orphans: bool = False
    groups: PayloadGroups | None = None
    logs: LogConfig = LogConfig()
    services: Services = {}
    on_up: Callable[[], None] | None = None
