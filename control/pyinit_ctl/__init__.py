"""The host side of pyinit: clients of a container's control socket, and their command line.

Importing this package loads nothing but itself; the public names are fetched on first use.
"""

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from pyinit_ctl.blocking import BlockingClient
    from pyinit_ctl.exec_call import DEVNULL, PIPE, STDOUT
    from pyinit_ctl.results import CompletedExec, ExecFailed, ExecTimedOut
    from pyinit_ctl.trio_client import Client, ExecProcess

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "BlockingClient",
    "Client",
    "CompletedExec",
    "ExecFailed",
    "ExecProcess",
    "ExecTimedOut",
]

_HOME = {
    "Client": "pyinit_ctl.trio_client",
    "DEVNULL": "pyinit_ctl.exec_call",
    "ExecProcess": "pyinit_ctl.trio_client",
    "PIPE": "pyinit_ctl.exec_call",
    "STDOUT": "pyinit_ctl.exec_call",
    "BlockingClient": "pyinit_ctl.blocking",
    "CompletedExec": "pyinit_ctl.results",
    "ExecFailed": "pyinit_ctl.results",
    "ExecTimedOut": "pyinit_ctl.results",
}


def __getattr__(name: str) -> "Any":
    try:
        module = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'pyinit_ctl' has no attribute {name!r}") from None
    from importlib import import_module

    return getattr(import_module(module), name)
