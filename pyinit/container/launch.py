"""Making a container: from a spec to a PID 1 that answers on its control socket.

`launch` is the maker's side, `_become_init` the container's, from the fork to PID 1's main.
What is made on the way is noted on an ExitStack, and taken back when a step fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
import warnings
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from pyinit.container import folder, state
from pyinit.container.plan import mount_plan
from pyinit.container.root import check_root, enter_root
from pyinit.errors import CommandNotExecutable, CommandNotFound, PyinitError, SystemFault
from pyinit.init.config import InitConfig, TerminalSize
from pyinit.init.ready import ReadyChannel, receive
from pyinit.linux.namespaces import FLAGS, unshare
from pyinit.linux.netdev import loopback_up
from pyinit.linux.process import close_all_but, set_host_name, start_time
from pyinit.spec.container import ContainerSpec

# The folder, in the container's own, on which its root is put together before the pivot.
SCRATCH = "root"
OWN_NAMESPACES = ("pid", "mnt", "uts", "ipc", "net", "cgroup")


@dataclass(slots=True)
class Container:
    """A container that was launched: its name, folder, socket, and PID 1 by descriptor."""

    name: str
    folder: Path
    control: Path
    pid: int
    pidfd: int
    terminal: int | None = None

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
    stdio: tuple[int, int, int] | None
    terminal: TerminalSize | None
    undo: ExitStack
    transient: ExitStack
    folder: Path = Path()
    control: Path = Path()
    listener: int = -1
    exit_record: int = -1
    log: int = -1
    told: socket.socket | None = None

    @property
    def ready(self) -> int:
        """PID 1's end of the channel on which it says that the container is there."""
        assert self.told is not None
        return self.told.fileno()


def launch(
    spec: ContainerSpec,
    *,
    stdio: tuple[int, int, int] | None = None,
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
    with folder.locked(spec.name) as path, ExitStack() as undo, ExitStack() as transient:
        work = _Launch(spec, stdio, terminal, undo, transient)
        _claim_folder(work, path)
        _open_outside(work)
        answers = _ready_channel(work)
        pid = _fork_init(work)
        pidfd = os.pidfd_open(pid)
        undo.callback(_end, pid, pidfd)
        # PID 1 alone holds its end now, so that its death is heard as the end of the channel.
        assert work.told is not None
        work.told.close()
        master = _await_ready(answers)
        _keep_state(work, pid)
        undo.pop_all()
    return Container(spec.name, work.folder, work.control, pid, pidfd, master)


def _claim_folder(work: _Launch, path: Path) -> None:
    folder.claim(path)
    work.undo.callback(shutil.rmtree, path, ignore_errors=True)
    work.folder = path
    (path / SCRATCH).mkdir(mode=0o700)


def _open_outside(work: _Launch) -> None:
    """All that PID 1 keeps open across the change of root."""
    chosen = work.spec.control
    work.control = Path(chosen).absolute() if chosen else work.folder / folder.SOCKET_NAME
    listener = work.transient.enter_context(folder.listen(work.control))
    work.undo.callback(work.control.unlink, missing_ok=True)
    work.listener = listener.fileno()
    work.exit_record = _open_file(work, work.folder / folder.EXIT_NAME)
    work.log = _open_file(work, work.folder / folder.LOG_FOLDER / "init.log")


def _open_file(work: _Launch, path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    work.transient.callback(os.close, descriptor)
    return descriptor


def _ready_channel(work: _Launch) -> socket.socket:
    ours, work.told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    work.transient.enter_context(ours)
    work.transient.enter_context(work.told)
    return ours


def _fork_init(work: _Launch) -> int:
    """PID 1 of new namespaces, as a child of this process.

    A thread of its own leaves the namespaces and forks: they belong to a thread, so the
    rest of the program stays where it is, and the child finds no trace of an event loop
    that may run in the thread that called.
    """
    outcome: list[int | BaseException] = []
    thread = threading.Thread(target=_unshare_and_fork, args=(work, outcome), name="launch")
    thread.start()
    thread.join()
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result


def _unshare_and_fork(work: _Launch, outcome: list[int | BaseException]) -> None:
    pid = -1
    try:
        flags = sum(FLAGS[name] for name in OWN_NAMESPACES)
        try:
            unshare(flags)
        except OSError as error:
            raise SystemFault("make the namespaces", error) from error
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork beside other threads: the child calls no more than
            # its own code, and glibc makes its allocator whole.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        outcome.append(pid)
    except BaseException as error:
        outcome.append(error)
    if pid == 0:
        _become_init(work)


def _become_init(work: _Launch) -> None:
    """The container's side: from the fork to the end of PID 1. Never returns."""
    code = 125
    try:
        os.setsid()
        config = _init_config(work)
        _drop_descriptors(config)
        _isolate(work)
        # Where the maker has it loaded this costs nothing; where not, it must be now.
        from pyinit.init.start import seal_and_run

        code = seal_and_run(config, lambda: _enter(work))
    except BaseException as error:
        _tell_failure(work.ready, error)
    finally:
        os._exit(code)


def _init_config(work: _Launch) -> InitConfig:
    spec = work.spec
    return InitConfig(
        name=spec.name,
        command=spec.command,
        environment=spec.environment,
        workdir=spec.workdir,
        user=spec.user,
        grace=spec.grace,
        listeners=(work.listener,),
        stdio=work.stdio,
        terminal=work.terminal,
        ready=work.ready,
        exit_record=work.exit_record,
        log=work.log,
    )


def _drop_descriptors(config: InitConfig) -> None:
    """/dev/null on 0, 1 and 2, so that no later descriptor takes those numbers."""
    kept = {*config.listeners, *(config.stdio or ())}
    kept |= {fd for fd in (config.ready, config.exit_record, config.log) if fd is not None}
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number, inheritable=False)
    close_all_but(kept)


def _isolate(work: _Launch) -> None:
    set_host_name(work.spec.hostname or work.spec.name)
    loopback_up()


def _enter(work: _Launch) -> None:
    steps = mount_plan(read_only=work.spec.root.read_only)
    hidden = [folder.run_directory(), work.control]
    enter_root(work.spec.root, work.folder / SCRATCH, steps, hidden)


def _tell_failure(descriptor: int, error: BaseException) -> None:
    ReadyChannel(descriptor).failed(error)


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
    spec = work.spec
    state.save(
        work.folder,
        state.State(
            name=spec.name,
            pid=pid,
            start_time=start_time(pid),
            created=time.time(),
            control=str(work.control),
            hostname=spec.hostname or spec.name,
            command=spec.command,
            root=spec.root.directory or "",
            rootless=os.geteuid() != 0,
            remove=spec.remove,
        ),
    )
