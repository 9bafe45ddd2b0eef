"""How much of the commands' output is kept."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

# A file holds at least some records of the greatest length.
SMALLEST = 64 << 10
MOST = 1000


class LogSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of each log `count` files of at most `size` bytes are kept.

    The main command has a log where its output goes nowhere else; with `main` always.
    """

    size: Annotated[int, Meta(ge=SMALLEST)] = 10 << 20
    count: Annotated[int, Meta(ge=1, le=MOST)] = 5
    main: bool = False
