"""Sealing the interpreter: from here on nothing is imported, and no file of the root is code.

After pivot_root every path is the container's. An import would run its code as PID 1, a
traceback would read its files, an encoding would be looked up among its modules.
"""

from __future__ import annotations

import encodings
import gc
import io
import linecache
import sys
import traceback
import warnings
from importlib import import_module

from pyinit.linux.process import trim_heap

# Codecs, and what the standard library imports inside functions that init reaches.
LATE = (
    "datetime",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_8",
    "json.decoder",
    "unicodedata",
)


_KEPT: list[object] = []


def preload() -> None:
    """Import what would otherwise be imported late, while paths are still the host's."""
    for name in LATE:
        import_module(name)
    try:
        raise ExceptionGroup("preload", [ValueError("preload")])
    except ExceptionGroup as group:
        traceback.print_exception(group, file=io.StringIO())
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        warnings.warn("preload", stacklevel=1)


def seal() -> None:
    """Take away every way to import, and the reading of source files for tracebacks."""
    # Taken out of use and not freed: that would write to pages shared with a warm parent.
    _KEPT.extend((sys.path_importer_cache, linecache.cache))
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()
    sys.path_importer_cache = {}
    sys.dont_write_bytecode = True
    linecache.cache = {}
    linecache.updatecache = _no_source  # type: ignore[assignment]
    # The codec registry itself is C, but a name it does not know makes it import.
    encodings.search_function = _no_codec  # type: ignore[assignment]


def _no_source(*_arguments: object) -> list[str]:
    return []


def _no_codec(_name: str) -> None:
    return None


def settle_memory() -> None:
    """Collect once, then freeze what is left: it is never garbage, and is looked at no more.

    Keeps the pages of a warm parent shared after a fork, too.
    """
    gc.collect()
    gc.freeze()
    trim_heap()
