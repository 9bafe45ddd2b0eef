"""Making a container: from a spec to a PID 1 that answers on its control socket.

This is the maker's side, step by step; `inside` has the container's, from the fork to PID
1's main. What is made on the way goes on an ExitStack, and is taken back when a step fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from pyinit.container import cgroup, folder, state
from pyinit.container.clearing import clear_ended
from pyinit.container.files import write_network_files
from pyinit.container.fork import fork_into_namespaces
from pyinit.container.inside import SCRATCH, Inside, become_init
from pyinit.container.namespaces import Namespaces
from pyinit.container.network import Attachment, attach
from pyinit.container.root import check_root
from pyinit.container.seccomp import compile_filter
from pyinit.errors import CommandNotExecutable, CommandNotFound, PyinitError, SystemFault
from pyinit.init.ready import receive
from pyinit.linux.process import start_time
from pyinit.spec.container import ContainerSpec, TerminalSize
from pyinit.spec.network import BridgeNetwork


@dataclass(slots=True)
class Container:
    """A container that was launched: its name, folder, socket, and PID 1 by descriptor.

    `terminal` is the master of the main command's pty, where it has one.
    """

    name: str
    folder: Path
    control: Path
    pid: int
    pidfd: int
    terminal: int | None = None
    warnings: tuple[str, ...] = ()

    def close(self) -> None:
        """Let go of the descriptors; the container lives on."""
        for descriptor in (self.pidfd, self.terminal):
            if descriptor is not None:
                os.close(descriptor)


@dataclass(slots=True)
class _Launch:
    """What the steps of one launch share.

    `undo` takes back what must not outlive a failed launch; `transient` closes what the
    maker's side needs no longer than the launch itself.
    """

    spec: ContainerSpec
    undo: ExitStack
    transient: ExitStack
    inside: Inside
    folder: Path
    control: Path
    attachment: Attachment | None = None


def launch(
    spec: ContainerSpec,
    *,
    stdio: tuple[int | None, int | None, int | None] | None = None,
    terminal: TerminalSize | None = None,
) -> Container:
    """Make the container and return once it can be attached to.

    `stdio` are the main command's descriptors: pipes, FIFOs or sockets; None is /dev/null.
    With `terminal` it gets a pty, whose master is in the answer.
    Blocks for some milliseconds; call it in a thread where that matters. Raises PyinitError:
    UsageError, InUse, Unsupported, SystemFault, CommandNotFound, CommandNotExecutable.
    Then nothing of the container is left.
    """
    check_root(spec.root)
    program, warning = compile_filter(spec.privileges)
    with folder.locked(spec.name) as path, ExitStack() as undo, ExitStack() as transient:
        work = _claim_folder(spec, path, undo, transient)
        work.inside.stdio, work.inside.terminal = stdio, terminal
        work.inside.seccomp = program
        _open_outside(work)
        _make_cgroup(work)
        answers = _ready_channel(work)
        pid, pidfd = _fork_init(work)
        _connect(work, pid)
        answers.send(b"go")
        master = _await_ready(answers)
        _keep_state(work, pid)
        undo.pop_all()
        if work.inside.cgroup is not None:
            work.inside.cgroup.close()
    warnings = (warning,) if warning else ()
    return Container(spec.name, work.folder, work.control, pid, pidfd, master, warnings)


def _claim_folder(
    spec: ContainerSpec, path: Path, undo: ExitStack, transient: ExitStack
) -> _Launch:
    clear_ended(path)
    folder.claim(path)
    undo.callback(shutil.rmtree, path, ignore_errors=True)
    (path / SCRATCH).mkdir(mode=0o700)
    control = Path(spec.control).absolute() if spec.control else path / folder.SOCKET_NAME
    inside = Inside(spec, path, control, Namespaces.of(spec, transient))
    return _Launch(spec, undo, transient, inside, path, control)


def _open_outside(work: _Launch) -> None:
    """All that PID 1 keeps open across the change of root."""
    listener = work.transient.enter_context(folder.listen(work.control))
    work.undo.callback(work.control.unlink, missing_ok=True)
    work.inside.listener = listener.fileno()
    work.inside.exit_record = _open_file(work, work.folder / folder.EXIT_NAME)
    logs = work.folder / folder.LOG_FOLDER
    work.inside.log = _open_file(work, logs / "init.log")
    work.inside.logs = os.open(logs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    work.transient.callback(os.close, work.inside.logs)


def _open_file(work: _Launch, path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    work.transient.callback(os.close, descriptor)
    return descriptor


def _make_cgroup(work: _Launch) -> None:
    spec = work.spec
    if not spec.cgroups:
        return
    making = work.undo.enter_context(ExitStack())
    made = cgroup.create_if_possible(making, spec.name, spec.cgroup_parent, spec.limits)
    if made is not None:
        work.inside.cgroup = made


def _ready_channel(work: _Launch) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    work.transient.enter_context(ours)
    work.transient.enter_context(theirs)
    work.inside.channel = theirs
    return ours


def _fork_init(work: _Launch) -> tuple[int, int]:
    pid = fork_into_namespaces(work.inside.namespaces, lambda: become_init(work.inside))
    pidfd = os.pidfd_open(pid)
    work.undo.callback(_end, pid, pidfd)
    # PID 1 alone holds its end now, so that its death is heard as the end of the channel.
    work.inside.close_channel()
    return pid, pidfd


def _connect(work: _Launch, pid: int) -> None:
    spec = work.spec
    if isinstance(spec.network, BridgeNetwork):
        netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        work.transient.callback(os.close, netns)
        work.attachment = attach(
            work.undo,
            spec.name,
            netns,
            spec.network,
            spec.publish,
            folder=folder.run_directory() / "networks",
        )
    write_network_files(work.folder, spec, work.attachment)


def _await_ready(answers: socket.socket) -> int | None:
    """The pty's master, once PID 1 says that it can be attached to. Raises what it says."""
    ready, master = receive(answers)
    match ready.status:
        case 0:
            return master
        case 126:
            raise CommandNotExecutable("", ready.error)
        case 127:
            raise CommandNotFound("", ready.error)
    raise PyinitError(ready.error)


def _end(pid: int, pidfd: int) -> None:
    """End a PID 1 whose container could not be made; the kernel ends all in its namespace."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _keep_state(work: _Launch, pid: int) -> None:
    spec, made = work.spec, work.inside.cgroup
    try:
        started = start_time(pid)
    except ProcessLookupError as error:
        raise SystemFault("look at PID 1", OSError(3, str(error))) from None
    state.save(
        work.folder,
        state.State(
            name=spec.name,
            pid=pid,
            start_time=started,
            created=time.time(),
            control=str(work.control),
            hostname=spec.hostname or spec.name,
            command=spec.command,
            root=spec.root.directory or "",
            rootless=os.geteuid() != 0,
            remove=spec.remove,
            cgroups=tuple(made.paths) if made is not None else (),
            network=work.attachment,
        ),
    )
