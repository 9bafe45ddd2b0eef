"""The services within the life of the container: made with it, ended before it."""

from __future__ import annotations

import os

import structlog
import trio

from pyinit.init.container import Container
from pyinit.init.ending import first_of
from pyinit.init.ports import Launch
from pyinit.init.service_processes import ServiceProcesses
from pyinit.init.supervisor import Supervisor

log = structlog.get_logger("services")

# Where the sockets of sd_notify(3) can be, in the order of preference: a root may be read-only.
_NOTIFY_FOLDERS = ("/run", "/tmp", "/dev/shm", "/var/tmp")  # noqa: S108


def make_supervisor(container: Container) -> Supervisor:
    """The supervisor of the container's services, of which there may be none yet."""
    config = container.config

    def outputs(launch: Launch) -> tuple[int, int]:
        return _outputs(container, launch)

    def tell(kind: str, service: str, fields: dict[str, object]) -> None:
        if kind == "shutdown":
            # One of the stages of the container's own end, where there is any service to stop.
            if not supervisor.services:
                return
            fields = {"stage": "services", **fields}
        log.info(kind, service=service, **fields)
        container.events.tell(kind, service, fields)

    processes = ServiceProcesses(
        config,
        container.reaper,
        container.spawner,
        container.users,
        container.table,
        container.leaves,
        container.devnull,
        outputs,
    )
    supervisor = Supervisor(
        config.services,
        processes,
        on_event=tell,
        notify_folder=notify_folder(),
        # A container with a command of its own, or that idles, ends with that alone.
        exit_when_done=bool(config.services) and not config.command,
    )
    return supervisor


def notify_folder() -> str:
    """A folder below one that can be written to; it is made when it is needed."""
    for place in _NOTIFY_FOLDERS:
        if os.access(place, os.W_OK | os.X_OK, effective_ids=True):
            return f"{place}/pyinit"
    return f"{_NOTIFY_FOLDERS[0]}/pyinit"


def _outputs(container: Container, launch: Launch) -> tuple[int, int]:
    """Where a command of the service writes to: its log, or nowhere."""
    if not launch.spec.log.keep:
        return container.devnull, container.devnull
    container.logs.configure(launch.service, launch.spec.log)
    return container.logs.pipes(launch.service)


async def run_services(container: Container) -> None:
    """Carry out what the services are to do, until they are to end and have."""
    supervisor = container.supervisor
    assert supervisor is not None
    await supervisor.run()
    container.services_over.set()


async def services_are_up(container: Container) -> bool:
    """Wait until every service is up, or has failed to; False when all is to end before."""
    supervisor = container.supervisor
    assert supervisor is not None

    async def settled() -> None:
        await supervisor.settle()

    await first_of(settled, container.end_requested.wait, container.services_over.wait)
    return not container.end_requested.is_set() and not container.services_over.is_set()


async def end_services(container: Container) -> None:
    """Stop every service in the reverse order, each with its own grace.

    A second request to end takes away what is left of that, and so does the time limit of a
    first that had one.
    """
    supervisor = container.supervisor
    assert supervisor is not None
    supervisor.shutdown(reason="the container ends")
    with trio.move_on_at(container.limit):
        await first_of(container.services_over.wait, container.hurry.wait)
    if not container.services_over.is_set():
        supervisor.hurry()
        await container.services_over.wait()
