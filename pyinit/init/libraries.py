"""Loading trio and structlog without what they load and PID 1 never calls.

trio imports ssl for its TLS streams, structlog asyncio for its async methods and rich for
its tracebacks. Together they are a tenth of an idle PID 1's memory and a fifth of its
start. While the two are imported an empty stand-in takes their place; a module that the
process has loaded already is used as it is.

And without ctypes.util: trio names its threads by a function of libc, and asks there where libc
is. That runs ldconfig, and where the image has no cache for it gcc, by way of a temporary file:
programs of the image as PID 1, and the end where nothing can be written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from pyinit.linux.libc import libc_is_known

UNUSED = ("asyncio", "rich", "ssl")


class _StandIn(ModuleType):
    """A module whose every name is a class: enough for annotations and base classes."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        found = type(name, (), {})
        setattr(self, name, found)
        return found


@contextmanager
def _standing_in(names: tuple[str, ...]) -> Iterator[None]:
    missing = [name for name in names if name not in sys.modules]
    for name in missing:
        sys.modules[name] = _StandIn(name)
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


with _standing_in(UNUSED), libc_is_known():
    import structlog
    import trio

__all__ = ["structlog", "trio"]
