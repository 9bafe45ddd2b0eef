"""The methods of io.pyinit.Control, a module for each of its groups."""

from __future__ import annotations

from pyinit.init.api.attach import AttachMethods
from pyinit.init.api.container import ContainerMethods
from pyinit.init.api.events import EventMethods
from pyinit.init.api.execs import ExecMethods
from pyinit.init.api.introspection import ServiceMethods
from pyinit.init.api.logs import LogMethods
from pyinit.init.api.processes import ProcessMethods
from pyinit.init.api.services import SupervisorMethods
from pyinit.init.api.stream import StreamMethods
from pyinit.init.container import Container
from pyinit.init.server import Method

INTERFACE = "io.pyinit.Control"


def all_methods(container: Container) -> dict[str, Method]:
    """Every method by its full name."""
    groups = [
        ContainerMethods(container).methods(),
        ExecMethods(container).methods(),
        AttachMethods(container).methods(),
        StreamMethods(container).methods(),
        ProcessMethods(container).methods(),
        LogMethods(container).methods(),
        EventMethods(container).methods(),
        SupervisorMethods(container).methods(),
    ]
    named = {f"{INTERFACE}.{name}": method for group in groups for name, method in group.items()}
    return named | ServiceMethods().methods()
