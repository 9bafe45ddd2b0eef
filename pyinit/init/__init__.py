"""Being PID 1.

`run` is the PID 1 of anybody's runtime: `from pyinit.init import run`. Importing this package
loads nothing; each name is fetched from its module on first use.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from pyinit.init.config import InitConfig
    from pyinit.init.embed import run

__all__ = ["InitConfig", "run"]

_HOME = {"InitConfig": "pyinit.init.config", "run": "pyinit.init.embed"}


def __getattr__(name: str) -> Any:
    try:
        module = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'pyinit.init' has no attribute {name!r}") from None
    from importlib import import_module

    return getattr(import_module(module), name)
