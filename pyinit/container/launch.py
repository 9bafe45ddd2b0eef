"""Making a container: from a spec to a PID 1 that answers on its control socket.

This is the maker's side, step by step; `inside` has the container's, from the fork to PID
1's main. What is made on the way goes on an ExitStack, and is taken back when a step fails.
"""

from __future__ import annotations

import _signal
import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from msgspec import Struct

from pyinit.container import cgroup, folder, pins, state
from pyinit.container.clearing import forget_ended
from pyinit.container.files import write_network_files
from pyinit.container.fork import fork_into_namespaces
from pyinit.container.handover import DONE, send_go
from pyinit.container.inside import Inside, become_init, before_namespaces, overlaps
from pyinit.container.namespaces import Namespaces, sources_of
from pyinit.container.network.attachment import Attachment
from pyinit.container.plan import planned_mounts
from pyinit.container.root import check_devices, check_root
from pyinit.container.seccomp import compile_filter
from pyinit.container.sysctls import check_sysctls
from pyinit.container.trees import open_trees
from pyinit.container.userns import default_user, read_map
from pyinit.errors import (
    CommandNotExecutable,
    CommandNotFound,
    PyinitError,
    SystemFault,
    Unsupported,
)
from pyinit.init.loading import is_loaded, load
from pyinit.init.ready import receive
from pyinit.linux import sockets as socket
from pyinit.linux.process import start_time
from pyinit.spec.container import ContainerSpec, TerminalSize
from pyinit.spec.idmap import outside_of
from pyinit.spec.network import BridgeNetwork


class Container(Struct):
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


class _Launch(Struct):
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
    keeper: int = 0


def launch(
    spec: ContainerSpec,
    *,
    stdio: tuple[int | None, int | None, int | None] | None = None,
    terminal: TerminalSize | None = None,
    lifeline: int | None = None,
    attended: bool = False,
) -> Container:
    """Make the container and return once it can be attached to.

    `stdio` are the main command's descriptors: pipes, FIFOs or sockets; None is /dev/null.
    With `terminal` it gets a pty, whose master is in the answer. `lifeline` is a descriptor
    that nobody but PID 1 keeps open, so that its end can be told by the other end. With
    `attended` the caller stays, and nobody else removes the container while it does.
    Blocks for some milliseconds; call it in a thread where that matters. Raises PyinitError:
    UsageError, InUse, Unsupported, SystemFault, CommandNotFound, CommandNotExecutable.
    Then nothing of the container is left.
    """
    _check(spec)
    program, warning = compile_filter(spec.privileges)
    with folder.locked(spec.name) as path, ExitStack() as undo, ExitStack() as transient:
        work = _claim_folder(spec, path, undo, transient)
        work.inside.stdio, work.inside.terminal = stdio, terminal
        work.inside.seccomp, work.inside.lifeline = program, lifeline
        work.keeper = os.getpid() if attended else 0
        _open_outside(work)
        _make_cgroup(work)
        _keep_state(work)
        answers = _ready_channel(work)
        pid, pidfd = _fork_init(work)
        _place(work, pid, answers)
        _connect(work, pid)
        _let_go(work, pid, answers)
        master = _await_ready(answers)
        pins.pin(path, pid, spec.pins, undo)
        _keep_state(work, pid)
        undo.pop_all()
        if work.inside.cgroup is not None:
            work.inside.cgroup.close()
    warnings = (warning,) if warning else ()
    return Container(spec.name, work.folder, work.control, pid, pidfd, master, warnings)


def _check(spec: ContainerSpec) -> None:
    """What can be told before anything is made. Raises UsageError, Unsupported."""
    check_root(spec.root)
    check_devices(spec.devices)
    pins.check(spec.pins)
    sources = sources_of(spec)
    check_sysctls(
        spec.sysctls,
        own_network=sources["net"] == "private",
        own_ipc=sources["ipc"] == "private",
    )
    if os.geteuid() != 0 and isinstance(spec.network, BridgeNetwork):
        raise Unsupported(
            "--net bridge takes root: use --net none and reach ports through the control socket,"
            " --net host, or run this as root"
        )


def _claim_folder(
    spec: ContainerSpec, path: Path, undo: ExitStack, transient: ExitStack
) -> _Launch:
    forget_ended(path)
    folder.claim(path)
    undo.callback(folder.remove_tree, path)
    # Root of a user namespace starts in it, and is not its owner; the folder above guards it.
    (path / folder.SCRATCH).mkdir(mode=0o711)
    control = Path(spec.control).absolute() if spec.control else path / folder.SOCKET_NAME
    inside = Inside(spec, path, control, Namespaces.of(spec, transient, undo))
    inside.rootless = os.geteuid() != 0
    inside.user = default_user(spec)
    # By their real paths, which root of a user namespace may not be able to find out.
    inside.hidden = tuple(
        Path(os.path.realpath(each)) for each in (folder.run_directory(), control)
    )
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
    inside, namespaces = work.inside, work.inside.namespaces
    if namespaces.has_user:
        # Its root may not be allowed to read the interpreter's modules.
        load()
    namespaces.mounts_later = not is_loaded() and overlaps(work.spec, namespaces)
    pid = fork_into_namespaces(
        namespaces, lambda: become_init(inside), lambda: before_namespaces(inside)
    )
    pidfd = os.pidfd_open(pid)
    work.undo.callback(_end, pid, pidfd)
    # PID 1 alone holds its end now, so that its death is heard as the end of the channel.
    work.inside.close_channel()
    return pid, pidfd


def _place(work: _Launch, pid: int, answers: socket.socket) -> None:
    """With a user namespace PID 1 is put into its cgroups, and makes its namespace when told."""
    made, namespaces = work.inside.cgroup, work.inside.namespaces
    if not namespaces.has_user:
        return
    _delegate(work, pid)
    if made is not None:
        made.attach_top(pid)
    with suppress(BrokenPipeError):  # PID 1 has gone; what it said is read next
        answers.send(b"cgroup")
    if answers.recv(65536, socket.MSG_PEEK) != DONE:
        _await_ready(answers)
    answers.recv(len(DONE))
    if made is not None:
        made.attach_init(pid)


def _delegate(work: _Launch, pid: int) -> None:
    """Give root of the user namespace what PID 1 will write to later."""
    made = work.inside.cgroup
    if os.geteuid() != 0:
        return
    ids = read_map(pid)
    uid, gid = (outside_of(ranges, 0) or 0 for ranges in (ids.uids, ids.gids))
    os.chown(work.folder / folder.LOG_FOLDER, uid, gid)
    if made is not None:
        made.delegate(uid, gid)


def _let_go(work: _Launch, pid: int, answers: socket.socket) -> None:
    """Tell PID 1 to go on, with what root of its user namespace could not open itself."""
    inside, trees = work.inside, {}
    if inside.namespaces.has_user and not inside.rootless:
        steps = planned_mounts(work.spec, work.folder, inside.namespaces.surroundings())
        mapped = not read_map(pid).same
        trees = open_trees(work.spec.root, steps, pid, work.transient, mapped=mapped)
    try:
        send_go(answers, trees)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return  # PID 1 has gone; what it said is read next
        raise SystemFault("hand over the mounts", error) from error


def _connect(work: _Launch, pid: int) -> None:
    spec = work.spec
    if isinstance(spec.network, BridgeNetwork):
        from pyinit.container.network.interfaces import attach

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
        _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
    os.close(pidfd)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _keep_state(work: _Launch, pid: int = 0) -> None:
    """What is needed to clear the container away; before there is a PID 1 without its number."""
    spec, made = work.spec, work.inside.cgroup
    try:
        started = start_time(pid) if pid else 0
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
            upper=spec.root.upper,
            keeper=work.keeper,
            keeper_start=start_time(work.keeper) if work.keeper else 0,
        ),
    )
