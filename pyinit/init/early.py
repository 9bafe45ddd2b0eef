"""The main command, started before the rest of init is loaded.

trio and what is built on it take longer to load than all else that a container needs. So
the command goes first, by a thread that spawns as those of the spawner do.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress

from pyinit.init.child import fork_child
from pyinit.init.command import Command, execution_error
from pyinit.init.config import BACKLOG, Adopted, InitConfig
from pyinit.init.leaf import Leaf
from pyinit.init.main_command import main_command, open_streams
from pyinit.init.ready import ReadyChannel
from pyinit.init.spawn_thread import always_forks, needs_fork, set_apart, spawn_in_thread
from pyinit.init.terminal import TerminalFactory
from pyinit.init.users import UserDatabase
from pyinit.init.wear import become
from pyinit.linux import sockets as socket
from pyinit.linux.cgroups import LegacyGroup
from pyinit.linux.thread import in_thread

# The group of the command; those of execs are numbered from 1.
LEAF = "exec-0"


def start_main(config: InitConfig) -> Adopted:
    """Start the command and tell that the container can be attached to.

    Raises PyinitError, OSError: what kept it from being started, with nothing left open.
    """
    _take_listeners(config)
    with ExitStack() as given:
        root, null = _folder("/"), os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        given.callback(os.close, root)
        given.callback(os.close, null)
        terminals = TerminalFactory(_terminals(given))
        with ExitStack() as kept:
            users = UserDatabase(root)
            streams = open_streams(config, users, terminals, null, given, kept)
            command = main_command(config, users, streams)
            pid, leaf = in_thread(lambda: _spawn(config, command))
            kept.pop_all()
        ReadyChannel(config.ready).ready(streams.master)
        if streams.master is not None:
            os.close(streams.master)
    return Adopted(pid=pid, leaf=leaf, logged=streams.logged)


def _folder(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _terminals(stack: ExitStack) -> int | None:
    with suppress(OSError):
        pts = _folder("/dev/pts")
        stack.callback(os.close, pts)
        return pts
    return None


def _take_listeners(config: InitConfig) -> None:
    """Who connects from now on sees this process at the other end (SO_PEERCRED)."""
    for descriptor in config.listeners:
        listener = socket.socket(fileno=descriptor)
        listener.listen(BACKLOG)
        listener.detach()


def _spawn(config: InitConfig, command: Command) -> tuple[int, Leaf | None]:
    """In a thread of its own: become a spawner, start the command in a leaf of its own."""
    groups = config.groups
    unified = groups is not None and groups.unified
    forks = needs_fork(command) or always_forks(config.privileges, unified=unified)
    set_apart(config.privileges, config.seccomp, limited=not forks)
    leaf = None
    if groups is not None:
        groups.attach_thread()
        leaf = Leaf(LEAF, groups.tracking.make_child(LEAF))
        if isinstance(leaf.group, LegacyGroup):
            leaf.group.attach_thread()
    into = leaf.clone_into if leaf is not None else None
    try:
        if forks:
            return fork_child(command, config.privileges, config.seccomp, into), leaf
        become(command.user, config.privileges.ambient_mask())
        return spawn_in_thread(command, into), leaf
    except OSError as error:
        raise execution_error(command.argv[0], error) from None
