"""The container's side of a launch: from the fork to the end of PID 1, step by step."""

from __future__ import annotations

import fcntl
import gc
import os
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from pyinit.container import folder
from pyinit.container.cgroup import ContainerCgroup
from pyinit.container.handover import DONE, receive_message
from pyinit.container.namespaces import Namespaces
from pyinit.container.oom import set_oom_score_adj
from pyinit.container.plan import planned_mounts
from pyinit.container.root import Materials, enter_root
from pyinit.container.sysctls import write_sysctls
from pyinit.errors import PyinitError
from pyinit.init.config import InitConfig, LogConfig
from pyinit.init.start import seal_and_run, start_and_run
from pyinit.linux import sockets as socket
from pyinit.linux.netdev import loopback_up
from pyinit.linux.prctl import set_child_subreaper
from pyinit.linux.process import close_all_but, set_domain_name, set_host_name
from pyinit.linux.title import set_title
from pyinit.spec.container import ContainerSpec, TerminalSize
from pyinit.spec.privileges import SECCOMP_DEFAULT


class Inside(Struct):
    """What the child takes along: the spec, and descriptors opened outside the root."""

    spec: ContainerSpec
    folder: Path
    control: Path
    namespaces: Namespaces
    stdio: tuple[int | None, int | None, int | None] | None = None
    terminal: TerminalSize | None = None
    cgroup: ContainerCgroup | None = None
    channel: socket.socket | None = None
    lifeline: int | None = None
    user: str | None = None
    seccomp: bytes | None = None
    rootless: bool = False
    hidden: tuple[Path, ...] = ()
    listener: int = -1
    exit_record: int = -1
    log: int = -1
    logs: int = -1

    def close_channel(self) -> None:
        """On the maker's side, once the child has it."""
        assert self.channel is not None
        self.channel.close()


def become_init(inside: Inside) -> NoReturn:
    """From the fork to the end of PID 1."""
    code = 125
    # What the maker has is garbage of its own: to look at it would copy its pages.
    gc.freeze()
    try:
        os.setsid()
        set_title("pyinit")
        if not inside.namespaces.owns("pid"):
            # Not PID 1 of anything: orphans come to us all the same.
            set_child_subreaper(True)
        _move_stdio(inside)
        if not inside.namespaces.needs_process:
            before_namespaces(inside)
        config = _config(inside)
        _drop_descriptors(inside, config)
        if starts_first(inside.spec, inside.namespaces):
            outside = inside.namespaces.mounts_later
            code = start_and_run(config, lambda: _enter(inside), outside=outside)
        else:
            code = seal_and_run(config, lambda: _enter(inside))
    except BaseException as error:  # every way out of here ends the process
        _tell_failure(inside, error)
    finally:
        os._exit(code)


def starts_first(spec: ContainerSpec, namespaces: Namespaces) -> bool:
    """Whether the command is the first thing to run, before init.

    Not where services come before it, nor where processes of others are in its pid
    namespace, which could stop it before its execve: only the reaper ends such a one.
    """
    return bool(spec.command) and not spec.services and namespaces.owns("pid")


def overlaps(spec: ContainerSpec, namespaces: Namespaces) -> bool:
    """Whether init may be loaded from the host's files while the command runs already.

    That takes a thread in the host's mount namespace, so nobody inside may look into PID 1;
    and files to be opened, so nobody may set its limits, as root inside does by prlimit(2)
    where no filter keeps it from that. Root of a user namespace might not be let at the files.
    """
    privileges = spec.privileges
    return (
        starts_first(spec, namespaces)
        and namespaces.owns("mnt")
        and not namespaces.needs_process
        and privileges.seccomp == SECCOMP_DEFAULT
        and "CAP_SYS_PTRACE" not in privileges.capabilities
    )


def before_namespaces(inside: Inside) -> None:
    """What root of a user namespace could not do, and its child inherits.

    The working folder is found again in a new mount namespace, also below folders that may
    not be entered from there.
    """
    set_oom_score_adj(inside.spec.privileges.oom_score_adj)
    os.chdir(inside.folder / folder.SCRATCH)


def _config(inside: Inside) -> InitConfig:
    spec = inside.spec
    assert inside.channel is not None
    return InitConfig(
        name=spec.name,
        command=spec.command,
        services=spec.services,
        environment=spec.environment,
        workdir=spec.workdir,
        user=inside.user,
        grace=spec.grace,
        privileges=spec.privileges,
        seccomp=inside.seccomp,
        listeners=(inside.listener,),
        stdio=inside.stdio,
        terminal=inside.terminal,
        ready=inside.channel.fileno(),
        exit_record=inside.exit_record,
        log=inside.log,
        logs=LogConfig(
            folder=inside.logs,
            size=spec.log.size,
            count=spec.log.count,
            main=spec.log.main,
            console=_console(inside),
        ),
        groups=inside.cgroup.payload() if inside.cgroup is not None else None,
    )


def _console(inside: Inside) -> tuple[int | None, int | None] | None:
    """Where what services write is shown, which is where no command writes."""
    if inside.stdio is None or inside.spec.command or not inside.spec.services:
        return None
    return inside.stdio[1], inside.stdio[2]


def _move_stdio(inside: Inside) -> None:
    """The main command's descriptors may be the maker's own 0, 1 and 2: out of the way."""
    if inside.stdio is not None:
        stdin, stdout, stderr = (
            None if each is None else fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 3)
            for each in inside.stdio
        )
        inside.stdio = (stdin, stdout, stderr)


def _drop_descriptors(inside: Inside, config: InitConfig) -> None:
    """Close all but what is taken along; /dev/null on 0, 1 and 2 keeps those numbers taken."""
    kept = {*config.listeners, *inside.namespaces.joined.values()}
    single = (config.ready, config.exit_record, config.log, config.logs.folder, inside.lifeline)
    kept |= {each for each in (*single, *(config.stdio or ())) if each is not None}
    kept |= set(inside.cgroup.descriptors()) if inside.cgroup is not None else set()
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number, inheritable=False)
    close_all_but(kept)


def _enter(inside: Inside) -> None:
    """Wait for the maker's word, then make the namespaces the container's own."""
    trees = _wait_for_go(inside)
    spec, namespaces = inside.spec, inside.namespaces
    if not namespaces.has_user:
        _enter_cgroup(inside)
    namespaces.enter_mounts()
    if namespaces.owns("uts"):
        set_host_name(spec.hostname or spec.name)
        if spec.domainname is not None:
            set_domain_name(spec.domainname)
    if namespaces.owns("net"):
        loopback_up()
    write_sysctls(spec.sysctls)
    materials = Materials(
        steps=planned_mounts(spec, inside.folder, namespaces.surroundings()),
        trees=trees,
        hidden=inside.hidden,
        rootless=inside.rootless,
    )
    enter_root(spec.root, materials)
    for descriptor in trees.values():
        os.close(descriptor)


def _enter_cgroup(inside: Inside) -> None:
    if inside.cgroup is not None:
        inside.cgroup.enter(inside.namespaces.enter_cgroup)
    else:
        inside.namespaces.enter_cgroup()


def _wait_for_go(inside: Inside) -> dict[str, int]:
    """The trees that the maker opened, by name, once it says "go".

    Who is root of a user namespace only can't move itself between the host's cgroups: the
    maker says when this process is where its cgroup namespace is to begin.
    """
    assert inside.channel is not None
    while True:
        said, descriptors = receive_message(inside.channel)
        match said.partition(b" "):
            case (b"cgroup", _, _):
                inside.namespaces.enter_cgroup()
                inside.channel.send(DONE)
            case (b"go", _, names):
                return dict(zip(names.decode().split("\0"), descriptors, strict=False))
            case _:
                raise PyinitError("the maker of the container has gone")


def _tell_failure(inside: Inside, error: BaseException) -> None:
    from pyinit.init.ready import ReadyChannel

    assert inside.channel is not None
    ReadyChannel(inside.channel.detach()).failed(error)
