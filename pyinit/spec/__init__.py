"""What a container and a service are: frozen, typed values, checked before anything starts.

Importing this package loads nothing: each name is fetched from its module on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyinit.spec.container import ContainerSpec
    from pyinit.spec.faults import Fault, SpecError
    from pyinit.spec.limits import Limits
    from pyinit.spec.service import (
        Backoff,
        Check,
        HttpCheck,
        LogOptions,
        ServiceSpec,
        SocketSpec,
    )
    from pyinit.spec.services_file import load_services

__all__ = [
    "Backoff",
    "Check",
    "ContainerSpec",
    "Fault",
    "HttpCheck",
    "Limits",
    "LogOptions",
    "ServiceSpec",
    "SocketSpec",
    "SpecError",
    "load_services",
]

_HOME = {
    "Backoff": "service",
    "Check": "service",
    "ContainerSpec": "container",
    "Fault": "faults",
    "HttpCheck": "service",
    "Limits": "limits",
    "LogOptions": "service",
    "ServiceSpec": "service",
    "SocketSpec": "service",
    "SpecError": "faults",
    "load_services": "services_file",
}


def __getattr__(name: str) -> Any:
    try:
        module = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'pyinit.spec' has no attribute {name!r}") from None
    from importlib import import_module

    return getattr(import_module(f"pyinit.spec.{module}"), name)
