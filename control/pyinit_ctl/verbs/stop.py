"""`pyinit-ctl stop`: end a container and wait for its end, or stop services of it."""

from __future__ import annotations

from contextlib import suppress

from pyinit.container.clearing import clear
from pyinit.errors import ConnectionLost, SystemFault, UsageError
from pyinit_ctl import records
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.ending import await_end
from pyinit_ctl.flags import FLAG, VALUE, Given, Option
from pyinit_ctl.output import JSON, print_json
from pyinit_ctl.registry import Target, resolve
from pyinit_ctl.verb import Verb

# What the init may take beyond the time it has for its processes.
_SLACK = 15.0


def stop(given: Given, words: list[str]) -> int:
    """Carry out the verb. Raises PyinitError."""
    target, *services = words
    timeout, no_wait, as_json = given.seconds("timeout"), given.flag("no-wait"), given.flag("json")
    if not services:
        _stop_container(resolve(target), timeout, wait=not no_wait, as_json=as_json)
        return 0
    if timeout is not None:
        raise UsageError("--timeout is the container's: a service has its own stop-timeout")
    from pyinit_ctl.service_change import change

    return change(target, "StopService", services, no_wait=no_wait, as_json=as_json)


def _stop_container(found: Target, timeout: float | None, *, wait: bool, as_json: bool) -> None:
    # Before the request, or the process could be gone and its number another's.
    process = records.open_process(records.read_state(found)) if found.folder else None
    limit = None if timeout is None else timeout + _SLACK
    with BlockingClient(found) as client:
        with suppress(ConnectionLost):  # when it is quicker than its own answer
            client.call("Shutdown", timeout=timeout)
        if wait and not await_end(process, client, limit):
            raise SystemFault(
                f"stop {found}",
                TimeoutError(
                    0,
                    f"its init did not end within {limit:g} s; "
                    f"`pyinit-ctl why {found}` says what it waits for, and "
                    f"`pyinit-ctl rm -f {found}` kills it",
                ),
            )
    end = records.read_exit(found) if found.folder and wait else None
    if found.name is not None and wait:
        clear(found.name)
    if as_json:
        print_json({"name": str(found), "exit": None if end is None else end.to_json()})


VERB = Verb(
    "stop",
    "End a container: its command, its services in reverse order, all else; and wait for it.\n\n"
    "With SERVICE, stop these services alone, and before them those that require them.",
    (
        Option(
            *("t", "timeout", VALUE, "SECONDS"),
            "Seconds between TERM and KILL, at the most; the container's own when left out.",
        ),
        Option("", "no-wait", FLAG, "", "Don't wait until it has happened."),
        JSON,
    ),
    ("TARGET", "[SERVICE]..."),
    stop,
)
