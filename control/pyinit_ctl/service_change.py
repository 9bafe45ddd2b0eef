"""What `start`, `restart` and `stop` of services have in common."""

from __future__ import annotations

from collections.abc import Sequence

from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.output import print_json
from pyinit_ctl.results import convert
from pyinit_ctl.service_results import Service
from pyinit_ctl.service_tables import print_services


def change(
    target: str, method: str, services: Sequence[str], *, no_wait: bool, as_json: bool
) -> int:
    """Call the method and show what became of the services. Returns the exit status: 1 where
    one of them has failed."""
    with BlockingClient(target) as client:
        wait = False if no_wait else None
        answer = client.call(method, services=list(services), wait=wait)
    found = convert(answer, "services", list[Service])
    if as_json:
        print_json(found)
    else:
        print_services(found)
    return int(any(each.state in ("failed", "backoff", "stuck") for each in found))
