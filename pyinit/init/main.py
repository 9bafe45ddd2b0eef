"""PID 1: from the sealed interpreter to the exit code.

`run` is called when everything is in place: the root is the container's, the descriptors
are open, nothing more is imported. It reads as the life of a container: take the signals,
start the command, say that we are ready, serve, and when the command has ended, end all.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import cast

import structlog
import trio

from pyinit.errors import PyinitError
from pyinit.init.api import all_methods
from pyinit.init.config import BACKLOG, Adopted, InitConfig
from pyinit.init.container import Container
from pyinit.init.ending import end_everything, first_of
from pyinit.init.events import Events
from pyinit.init.execs import ExecTable
from pyinit.init.forwarding import HANDLED
from pyinit.init.leaves import Leaves
from pyinit.init.logs import MAIN, Logs
from pyinit.init.main_command import Streams, main_command, open_streams
from pyinit.init.oom import watch_oom
from pyinit.init.processes import ProcessTable
from pyinit.init.ready import ReadyChannel
from pyinit.init.reaper import Reaper
from pyinit.init.record import write_exit_record
from pyinit.init.server import serve
from pyinit.init.services import end_services, make_supervisor, run_services, services_are_up
from pyinit.init.signals import EarlySignals, Reaction, reaction
from pyinit.init.spawn import Spawner
from pyinit.init.stats import StatsReader
from pyinit.init.terminal import TerminalFactory
from pyinit.init.users import UserDatabase
from pyinit.linux.dispositions import reset_hidden_signals
from pyinit.linux.prctl import set_dumpable
from pyinit.spec.signals import signal_name
from pyinit.spec.status import ExitStatus

# Real-time signals have no member of signal.Signals: trio is content with their numbers.
# SIGCHLD is the reaper's, which blocks it and reads it from a descriptor; the handler is for
# a thread in which it is not blocked.
_SIGNALS = cast(
    "tuple[signal.Signals, ...]", tuple(each for each in HANDLED if each != signal.SIGCHLD)
)

# How long the end of the container waits for a slow disk to take the last lines, in seconds.
LOG_PATIENCE = 2.0
# And how long it waits for those who follow events and logs, and may read slowly.
LISTENERS_PATIENCE = 1.0

log = structlog.get_logger("init")


def run(config: InitConfig) -> int:
    """Be PID 1 until the container ends; returns the exit code to leave with.

    Raises nothing: what goes wrong is told to whoever waits for the container to be ready,
    logged, and kept as exit code 125 (or 126, 127 where the command is at fault).
    """
    set_dumpable(False)
    reset_hidden_signals()
    early = EarlySignals(missed=config.missed)
    ready = ReadyChannel(config.ready)
    try:
        status, reason = trio.run(_main, config, early, ready), ""
    except BaseException as error:
        fault = _only_fault(error)
        log.error("could not go on", reason=str(fault), exc_info=not isinstance(fault, PyinitError))
        ready.failed(fault)
        status = ExitStatus(code=getattr(fault, "status", 125))
        reason = str(fault)
    unwritten = write_exit_record(config.exit_record, status, reason)
    if unwritten is not None:
        log.error("exit status not kept", reason=unwritten.strerror)
    return status.exit_code


def _only_fault(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _main(config: InitConfig, early: EarlySignals, ready: ReadyChannel) -> ExitStatus:
    with ExitStack() as stack, trio.open_signal_receiver(*_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            container = _assemble(config, nursery, stack)
            signal.signal(signal.SIGCHLD, container.reaper.look_soon)
            stack.callback(signal.signal, signal.SIGCHLD, signal.SIG_DFL)
            nursery.start_soon(container.reaper.watch)
            nursery.start_soon(_take_signals, container, signals, early)
            nursery.start_soon(watch_oom, config.groups, container.tell_oom)
            await _start_supervisor(container, nursery)
            for descriptor in config.listeners:
                nursery.start_soon(serve, _listener(descriptor, stack), all_methods(container))
            await _start_main(container, ready)
            nursery.start_soon(container.tell_main_end)
            status = await _until_end(container)
            await container.logs.finish(LOG_PATIENCE, config.grace)
            container.conclude(status)
            await container.last_words.said(LISTENERS_PATIENCE)
            nursery.cancel_scope.cancel()
    return status


def _assemble(config: InitConfig, nursery: trio.Nursery, stack: ExitStack) -> Container:
    """The parts, each with what it needs of the others."""
    root = _folder("/", stack)
    proc = _optional_folder("/proc", stack)
    table = ProcessTable(proc)
    leaves = Leaves(config.groups, nursery) if config.groups is not None else None
    events = Events()
    reaper = Reaper(on_orphan=_orphan_hook(config, events, leaves))
    spawner = Spawner(reaper, config.privileges, config.seccomp, leaves)
    container = Container(
        config=config,
        reaper=reaper,
        spawner=spawner,
        execs=ExecTable(nursery, spawner, table, leaves),
        leaves=leaves,
        table=table,
        stats=StatsReader(table, proc, config.groups),
        users=UserDatabase(root),
        terminals=TerminalFactory(_optional_folder("/dev/pts", stack)),
        devnull=os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC),
        grace=config.grace,
        events=events,
        logs=Logs.of(config.logs, nursery),
    )
    stack.callback(os.close, container.devnull)
    container.execs.on_begin = events.exec_begun
    container.execs.on_end = events.exec_ended
    if config.adopted is not None:
        _adopt(container, config.adopted)
    return container


def _adopt(container: Container, adopted: Adopted) -> None:
    """Take over the command, before the reaper first looks: that may be at the next await."""
    container.main = container.reaper.adopt(adopted.pid, adopted.status)
    if adopted.leaf is not None and container.leaves is not None:
        container.main.leaf = adopted.leaf
        container.leaves.take(adopted.leaf)
    if adopted.logged is not None:
        container.logs.read(MAIN, adopted.logged)
        adopted.logged.let_go()
    _tell_started(container)


def _orphan_hook(
    config: InitConfig, events: Events, leaves: Leaves | None
) -> Callable[[int, ExitStatus], None]:
    tell = log.warning if config.warn_orphans else log.debug

    def reaped(pid: int, status: ExitStatus) -> None:
        tell("orphan reaped", pid=pid, status=status)
        events.orphan_reaped(pid, status)
        if leaves is not None:
            leaves.look_again()

    return reaped


async def _start_supervisor(container: Container, nursery: trio.Nursery) -> None:
    container.supervisor = make_supervisor(container)
    nursery.start_soon(run_services, container)
    await container.supervisor.started.wait()


def _folder(path: str, stack: ExitStack) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return descriptor


def _optional_folder(path: str, stack: ExitStack) -> int | None:
    try:
        return _folder(path, stack)
    except OSError:
        return None


def _listener(descriptor: int, stack: ExitStack) -> socket.socket:
    listener = stack.enter_context(socket.socket(fileno=descriptor))
    listener.setblocking(False)
    # Listening anew makes this process the peer that clients see with SO_PEERCRED.
    listener.listen(BACKLOG)
    return listener


async def _take_signals(
    container: Container, signals: AsyncIterator[int], early: EarlySignals
) -> None:
    for number in early.take():
        _react(container, number)
    container.reaper.reap()
    async for number in signals:
        _react(container, number)


def _react(container: Container, number: int) -> None:
    main = container.main
    running = main is not None and main.status is None
    if number != signal.SIGCHLD:
        container.events.tell("signal", details={"signal": signal_name(number)})
    has_services = container.supervisor is not None and bool(container.supervisor.services)
    match reaction(number, has_main=running, has_services=has_services):
        case Reaction.REAP:
            container.reaper.reap()
        case Reaction.FORWARD:
            assert main is not None
            log.debug("signal passed on", signal=signal_name(number))
            container.config.forwarding.deliver(main.pid, number)
        case Reaction.SHUT_DOWN:
            log.info("signal to end", signal=signal_name(number))
            container.request_end()
        case Reaction.NOTHING:
            pass


async def _start_main(container: Container, ready: ReadyChannel) -> None:
    """Start the command, where there is one, and tell that the container is there."""
    config = container.config
    if config.adopted is not None or not config.command:
        container.events.tell("ready")
        ready.ready()
        await _services_first(container)
        return
    with ExitStack() as given:
        streams = _main_streams(container, given)
        given.callback(streams.let_go)
        if config.services:
            ready.ready(streams.master)
            if not await _services_first(container):
                return
        await _spawn_main(container, streams)
        container.state = "running"
        container.events.tell("ready")
        ready.ready(streams.master)


def _main_streams(container: Container, given: ExitStack) -> Streams:
    with ExitStack() as kept:
        streams = open_streams(
            container.config,
            container.users,
            container.terminals,
            container.devnull,
            given,
            kept,
        )
        if streams.logged is not None:
            container.logs.read(MAIN, streams.logged)
        kept.pop_all()
    return streams


async def _services_first(container: Container) -> bool:
    """Wait for the services, where there are any; whether the command is still to start."""
    on_up = container.config.on_up
    up = not container.config.services or await services_are_up(container)
    if up:
        container.state = "running"
        if on_up is not None:
            on_up()
    return up


async def _spawn_main(container: Container, streams: Streams) -> None:
    command = main_command(container.config, container.users, streams)
    try:
        container.main = await container.spawner.spawn(command)
    except (PyinitError, OSError) as error:
        if not container.config.services:
            raise
        log.error("the command did not start", reason=str(error))
        container.failure = ExitStatus(code=getattr(error, "status", 125))
        container.request_end()
        return
    _tell_started(container)


def _tell_started(container: Container) -> None:
    assert container.main is not None
    log.info("started", pid=container.main.pid, argv=container.config.command)
    container.tell_started()


async def _until_end(container: Container) -> ExitStatus:
    """Wait for the command's end or a request, then end everything that is left."""
    await _first_end(container)
    services_first = container.services_over.is_set()
    if container.state == "paused":
        await container.thaw()  # what is frozen can't be ended
    container.state = "stopping"
    await _end_main(container, container.begin_stage())
    await end_services(container)
    await end_everything(
        container.reaper,
        container.table,
        container.begin_stage(),
        container.hurry,
        container.tell_stage,
    )
    status = _final_status(container, services_first=services_first)
    log.info("ended", status=status)
    return status


def _final_status(container: Container, *, services_first: bool) -> ExitStatus:
    """What failed: the command, and where that did not, a service."""
    assert container.supervisor is not None
    services = ExitStatus(code=container.supervisor.exit_status)
    if container.failure is not None:
        return container.failure
    main = container.main.status if container.main is not None else None
    if main is None or services_first or main == ExitStatus(code=0):
        return services
    return main


async def _first_end(container: Container) -> None:
    """Return when the command or the services have ended, or when their end is asked for."""
    waits = [container.end_requested.wait, container.services_over.wait]
    main = container.main
    await first_of(*waits, *([] if main is None else [main.wait]))


async def _end_main(container: Container, deadline: float) -> None:
    """Ask the command first, alone: it knows best how to end what it has started."""
    main = container.main
    if main is not None and main.status is None:
        container.tell_stage("main")
        os.kill(main.pid, signal.SIGTERM)
        with trio.move_on_at(deadline):
            await first_of(main.wait, container.hurry.wait)
