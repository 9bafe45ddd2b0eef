"""init as a part of somebody else's runtime, which made the namespaces and the root itself."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable

from msgspec.structs import replace

from pyinit.init.config import InitConfig
from pyinit.init.start import seal_and_run
from pyinit.linux.prctl import set_child_subreaper
from pyinit.spec.container import ContainerSpec, TerminalSize

Stdio = tuple[int | None, int | None, int | None]


def run(
    spec: ContainerSpec | InitConfig,
    listener: socket.socket | int | None = None,
    *,
    enter: Callable[[], None] | None = None,
    stdio: Stdio | None = None,
    terminal: TerminalSize | None = None,
    seccomp: bytes | None = None,
    log: int | None = None,
) -> int:
    """Be PID 1 of a container until it ends. Returns the exit code to leave with.

    To be called in the process that is PID 1 already, with one thread and no event loop;
    elsewhere it becomes the reaper of what descends from it. `listener` is a listening UNIX
    stream socket for the control protocol; init owns it from here on. `enter` changes into
    the container's root (mounts, pivot_root): it is called when everything is loaded, and
    after it nothing is imported any more, so leave with `os._exit`.

    Of a ContainerSpec what concerns the life inside counts: name, command, services, environment,
    workdir, user, grace and privileges. `stdio` are the main command's 0, 1 and 2, /dev/null
    where None; `terminal` asks for a pty in their place. `seccomp` is a compiled filter
    (BPF); a profile named by the spec is for `pyinit.launch`, which compiles it. `log` takes
    init's log, standard error where None. An InitConfig says all of this itself, and is used
    as it is, with the listener added.

    Raises what `enter` raises. What goes wrong later is logged, and is the code: 125, or 126
    and 127 where the command is at fault.
    """
    config = spec if isinstance(spec, InitConfig) else _config(spec, stdio, terminal, seccomp, log)
    if listener is not None:
        config = _with_listener(config, listener)
    if os.getpid() != 1:
        set_child_subreaper(True)
    return seal_and_run(config, enter or _stay)


def _stay() -> None:
    """The root is the container's already."""


def _config(
    spec: ContainerSpec,
    stdio: Stdio | None,
    terminal: TerminalSize | None,
    seccomp: bytes | None,
    log: int | None,
) -> InitConfig:
    return InitConfig(
        name=spec.name,
        command=spec.command,
        services=spec.services,
        environment=spec.environment,
        workdir=spec.workdir,
        user=spec.user,
        grace=spec.grace,
        privileges=spec.privileges,
        seccomp=seccomp,
        stdio=_above_standard(stdio),
        terminal=terminal,
        log=log,
    )


def _above_standard(stdio: Stdio | None) -> Stdio | None:
    """Copies that init may close once the command has them, out of the way of 0, 1 and 2."""
    if stdio is None:
        return None
    stdin, stdout, stderr = (
        None if each is None else fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 3) for each in stdio
    )
    return stdin, stdout, stderr


def _with_listener(config: InitConfig, listener: socket.socket | int) -> InitConfig:
    descriptor = listener if isinstance(listener, int) else listener.detach()
    os.set_inheritable(descriptor, False)
    return replace(config, listeners=(*config.listeners, descriptor))
