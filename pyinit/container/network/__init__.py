"""The network of containers, from the host's side: bridges, addresses, published ports.

`attach` gives a container its interface, `detach` takes back what a record says it had:
`interfaces` has both. Importing this package loads nothing: most containers are on no bridge,
and none of it is needed to find that they have nothing there.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from pyinit.container.network.attachment import Added, Attachment
    from pyinit.container.network.interfaces import (
        add_interface,
        attach,
        clear,
        del_interface,
        detach,
    )

__all__ = [
    "Added",
    "Attachment",
    "add_interface",
    "attach",
    "clear",
    "clear_owner",
    "del_interface",
    "detach",
    "owners",
]

_HOME = {
    "Added": "attachment",
    "Attachment": "attachment",
    "add_interface": "interfaces",
    "attach": "interfaces",
    "clear": "interfaces",
    "del_interface": "interfaces",
    "detach": "interfaces",
}


def __getattr__(name: str) -> Any:
    try:
        module = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{module}"), name)


def clear_owner(name: str, *, folder: Path) -> None:
    """Take back all that the container `name` has on any bridge, interfaces added later too."""
    if folder.is_dir():
        from pyinit.container.network import interfaces

        interfaces.clear_owner(name, folder=folder)


def owners(*, folder: Path) -> set[str]:
    """The containers that have something on a bridge whose leases are in `folder`."""
    if not folder.is_dir():
        return set()
    from pyinit.container.network import interfaces

    return interfaces.owners(folder=folder)
