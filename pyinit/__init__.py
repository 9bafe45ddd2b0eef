"""PID 1 for Linux containers, with a control socket opened outside the root.

Importing this package loads nothing but itself, not even `typing`: the public names are
fetched on first use, because a process that only wants one of them pays for no other.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from pyinit.container.launch import Container, launch
    from pyinit.init.loading import load
    from pyinit.spec import ContainerSpec, ServiceSpec

__version__ = "0.1.0"

__all__ = ["Container", "ContainerSpec", "ServiceSpec", "__version__", "launch", "load"]

_HOME = {
    "Container": "pyinit.container.launch",
    "ContainerSpec": "pyinit.spec",
    "ServiceSpec": "pyinit.spec",
    "launch": "pyinit.container.launch",
    "load": "pyinit.init.loading",
}


def __getattr__(name: str) -> Any:
    try:
        module = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'pyinit' has no attribute {name!r}") from None
    from importlib import import_module

    return getattr(import_module(module), name)
