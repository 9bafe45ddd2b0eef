"""Carries out what the machines of the services ask for: the side of them that does I/O."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import trio

from pyinit.errors import PyinitError, SystemFault
from pyinit.init import lifecycle_events as ev
from pyinit.init.checks import CheckRecord, Probe, watch
from pyinit.init.environment import read_environment_files
from pyinit.init.lifecycle_events import Event
from pyinit.init.listeners import Listeners
from pyinit.init.notify import NotifySocket, wait_for_newline
from pyinit.init.notify_message import Message, events
from pyinit.init.ports import Launch, Process, Processes, Role
from pyinit.init.probes import probe_exec, probe_http, probe_tcp
from pyinit.init.unit import Unit
from pyinit.spec.service import Check

# What pyinit itself failed at, as the exit codes of DESIGN.md have it.
_OUR_FAULT = 125
_LONGEST_TEXT = 256


class Runner:
    """Processes, descriptors and tasks of units. What comes of them is posted as events.

    `post` takes a unit and an event, `tell` a kind, a unit and what there is to say.
    """

    def __init__(
        self,
        processes: Processes,
        nursery: trio.Nursery,
        notify_folder: str,
        post: Callable[[Unit, Event], None],
        tell: Callable[[str, Unit, dict[str, object]], None],
    ) -> None:
        self._processes = processes
        self._nursery = nursery
        self._notify_folder = notify_folder
        self._post = post
        self._tell = tell

    # Starting, and what there is to watch while it runs.

    def spawn(self, unit: Unit) -> None:
        """Start the main process; posts Spawned or SpawnFailed."""
        self._nursery.start_soon(self._spawn, unit)

    async def _spawn(self, unit: Unit) -> None:
        ready: ReadyPipe | None = None
        try:
            if unit.spec.notify_fd is not None:
                ready = ReadyPipe()
            process = await self._processes.spawn(self._main_launch(unit, ready))
        except Exception as error:  # a bug must fail this one service, not end PID 1
            if ready is not None:
                ready.close()
            self._post(unit, _spawn_failure(error))
            return
        if ready is not None:
            ready.close_write()
        unit.process = process
        self._post(unit, ev.Spawned(process.pid))
        self._nursery.start_soon(self._watch, unit, process)
        self._begin_run(unit, ready)

    def _main_launch(self, unit: Unit, ready: ReadyPipe | None) -> Launch:
        spec = unit.spec
        environment: dict[str, str] = {}
        descriptors: dict[int, int] = {}
        if spec.sockets:
            if unit.listeners is None:
                unit.listeners = Listeners(spec.sockets)
            environment |= unit.listeners.environment
            descriptors |= unit.listeners.descriptors
        if ready is not None and spec.notify_fd is not None:
            descriptors[spec.notify_fd] = ready.write
        elif spec.type == "notify" or spec.watchdog:
            environment["NOTIFY_SOCKET"] = self._notify_socket(unit).path
        if spec.watchdog:
            environment["WATCHDOG_USEC"] = str(int(spec.watchdog * 1e6))
        return launch(unit, "main", spec.command, environment, descriptors)

    def _notify_socket(self, unit: Unit) -> NotifySocket:
        if unit.notify is None:
            path = f"{self._notify_folder}/{unit.name}.notify"
            try:
                os.makedirs(self._notify_folder, 0o755, exist_ok=True)
                unit.notify = NotifySocket(path)
            except OSError as error:
                raise SystemFault(f"make the NOTIFY_SOCKET {path}", error) from error
        unit.notify.drain(_leave_out)
        return unit.notify

    def _begin_run(self, unit: Unit, ready: ReadyPipe | None) -> None:
        if ready is None and unit.notify is None:
            return
        unit.run = trio.CancelScope()
        self._nursery.start_soon(self._listen, unit, unit.run, ready)

    async def _listen(self, unit: Unit, run: trio.CancelScope, ready: ReadyPipe | None) -> None:
        """Until the run ends, hear what the service says about itself."""
        try:
            with run:
                if ready is not None:
                    if await wait_for_newline(ready.read):
                        self._post(unit, ev.Ready())
                elif unit.notify is not None:
                    await unit.notify.serve(partial(self._heard, unit))
        finally:
            if ready is not None:
                ready.close()

    def _heard(self, unit: Unit, message: Message) -> None:
        process = unit.process
        if process is None or not _may_notify(unit, process, message.pid):
            return
        if "STATUS" in message.fields:
            unit.text = _printable(message.fields["STATUS"])
        for key in ("RELOADING", "STOPPING"):
            if message.fields.get(key) == "1":
                self._tell(key.lower(), unit, {"by": "itself"})
        for event in events(message.fields):
            if not isinstance(event, ev.NewMain) or process.owns(event.pid):
                self._post(unit, event)

    # The end of a process.

    async def _watch(self, unit: Unit, process: Process) -> None:
        status = await process.wait()
        if unit.notify is not None and unit.process is process:
            # What it said last counts, above all that another process is the main one now.
            unit.notify.drain(partial(self._heard, unit))
        if unit.process is not process:
            return
        unit.last_exit = ev.Exited(status.code, status.signal)
        self._post(unit, unit.last_exit)
        await process.gone()
        self._end_run(unit)
        self._post(unit, ev.Gone())

    def _end_run(self, unit: Unit) -> None:
        unit.process = None
        unit.text = ""
        if unit.run is not None:
            unit.run.cancel()
            unit.run = None

    def adopt(self, unit: Unit, pid: int) -> None:
        """Watch `pid` as the main process from now on."""
        assert unit.process is not None
        if pid == unit.process.pid:
            return
        try:
            unit.process = unit.process.follow(pid)
        except (OSError, PyinitError) as error:
            self._tell("mainpid-refused", unit, {"pid": pid, "reason": str(error)})
            return
        self._nursery.start_soon(self._watch, unit, unit.process)

    # Stopping.

    def signal(self, unit: Unit, number: int, *, whole: bool) -> None:
        if unit.process is None:
            return
        if whole:
            unit.process.signal_tree(number)
        else:
            unit.process.signal(number)

    def kill(self, unit: Unit) -> None:
        if unit.process is not None:
            unit.process.kill_all()

    def run_stop_command(self, unit: Unit) -> None:
        """Start it beside the service; posts StopCommandEnded."""
        unit.stop_command = trio.CancelScope()
        self._nursery.start_soon(self._stop_command, unit, unit.stop_command)

    async def _stop_command(self, unit: Unit, scope: trio.CancelScope) -> None:
        environment = {"MAINPID": str(unit.life.pid)}
        with scope:
            try:
                command = launch(unit, "stop-command", unit.spec.stop_command, environment)
                await probe_exec(self._processes, command)
            except Exception as error:  # the signal comes next, whatever became of it
                self._tell("stop-command-failed", unit, {"reason": str(error)})
        if unit.stop_command is scope:
            unit.stop_command = None
            self._post(unit, ev.StopCommandEnded())

    def end_stop_command(self, unit: Unit) -> None:
        if unit.stop_command is not None:
            unit.stop_command.cancel()
            unit.stop_command = None

    # Checks.

    def begin_checks(self, unit: Unit) -> None:
        """Ask after the service's health from now on."""
        if unit.checking is not None or not unit.spec.checks:
            return
        unit.checks = {
            name: CheckRecord(unit.name, name, check) for name, check in unit.spec.checks.items()
        }
        unit.checking = trio.CancelScope()
        self._nursery.start_soon(self._check, unit, unit.checking, list(unit.checks.values()))

    def end_checks(self, unit: Unit) -> None:
        if unit.checking is not None:
            unit.checking.cancel()
            unit.checking = None
            for record in unit.checks.values():
                record.forget()

    async def _check(self, unit: Unit, scope: trio.CancelScope, records: list[CheckRecord]) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                for record in records:
                    probe = self._probe(unit, record.check)
                    nursery.start_soon(watch, record, probe, partial(self._news, unit))

    def _probe(self, unit: Unit, check: Check) -> Probe:
        if check.exec:
            return partial(self._probe_exec, unit, check.exec)
        if check.http is not None:
            return partial(probe_http, check.http)
        return partial(probe_tcp, check.tcp)

    async def _probe_exec(self, unit: Unit, argv: tuple[str, ...]) -> None:
        await probe_exec(self._processes, launch(unit, "check", argv))

    def _news(self, unit: Unit, record: CheckRecord) -> None:
        if record.healthy:
            self._tell("healthy", unit, {"check": record.name})
            return
        self._tell("unhealthy", unit, {"check": record.name, "reason": record.error})
        self._post(unit, ev.Unhealthy(record.name, record.check.action))


class ReadyPipe:
    """The pipe on which a service of s6's convention says that it is ready."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # The other end becomes the service's own, and services expect to block.
        os.set_blocking(self.write, True)
        self._open = {self.read, self.write}

    def close_write(self) -> None:
        """Leave the writing end to the service alone."""
        self._close(self.write)

    def close(self) -> None:
        self._close(self.read)
        self._close(self.write)

    def _close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.remove(descriptor)
            os.close(descriptor)


def launch(
    unit: Unit,
    role: Role,
    argv: tuple[str, ...],
    environment: dict[str, str] | None = None,
    descriptors: dict[int, int] | None = None,
) -> Launch:
    """A command of the service, with the surroundings that all its commands share.

    Raises SystemFault and UsageError for its environment files.
    """
    variables = read_environment_files(unit.spec.env_files) | unit.spec.env
    return Launch(
        service=unit.name,
        role=role,
        argv=argv,
        environment=variables | (environment or {}),
        spec=unit.spec,
        descriptors=descriptors or {},
        listen_pid="LISTEN_FDS" in (environment or {}),
    )


def _spawn_failure(error: Exception) -> ev.SpawnFailed:
    if isinstance(error, PyinitError):
        return ev.SpawnFailed(error.status, str(error))
    reason = error.strerror if isinstance(error, OSError) else None
    return ev.SpawnFailed(_OUR_FAULT, f"spawn: {reason or error}")


def _may_notify(unit: Unit, process: Process, pid: int) -> bool:
    if pid == unit.life.pid:
        return True
    return unit.spec.notify_access == "all" and process.owns(pid)


def _printable(text: str) -> str:
    """What a service says goes to terminals: no control characters, and not too much."""
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST_TEXT])


def _leave_out(message: Message) -> None:
    """What an earlier run said says nothing about the next."""
