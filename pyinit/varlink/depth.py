"""How deep JSON is nested, told before a decoder recurses into it.

msgspec and the C scanner of the standard library both recurse per level: a message of
nothing but `[` would end in RecursionError.
"""

from __future__ import annotations

from pyinit.errors import ProtocolError

DEPTH_LIMIT = 32
"""Levels of arrays and objects in a message, its envelope included."""

_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(c for c in range(256) if c not in b"[]{}")


def check_depth(data: bytes, limit: int = DEPTH_LIMIT) -> None:
    """Raise ProtocolError if the JSON text `data` is nested more than `limit` levels deep.

    Every text that is valid JSON is judged exactly. Of others the part that a decoder reads
    before it gives up is at most `2 * limit` deep when this returns.
    """
    if data.count(b"[") + data.count(b"{") <= limit:
        return
    brackets = _brackets(data)
    for _ in range(limit):
        fewer = brackets.replace(b"[]", b"")  # takes away the innermost level everywhere
        if len(fewer) == len(brackets):
            break
        brackets = fewer
    # Of valid JSON nothing is left. What is left of other text without a pair may open
    # `limit` levels that it never closes.
    if b"[]" in brackets or brackets.count(b"[") > limit:
        raise ProtocolError(f"JSON nested more than {limit} levels deep; send flatter data")


def _brackets(data: bytes) -> bytes:
    """The brackets outside of strings, all made square.

    Kinds need not match: a decoder stops at the first that does not.
    """
    if b"\\" in data:
        # Left to right, so that each backslash that is itself escaped goes first.
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(data.split(b'"')[::2])
    return outside.translate(_TO_SQUARE, _NO_BRACKET)
