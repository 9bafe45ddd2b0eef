"""Text from a container on its way to a terminal."""

from __future__ import annotations

_LENGTH = 1000


def printable(text: object, limit: int = _LENGTH) -> str:
    """`text` on one line, without anything a terminal would act upon, cut to `limit`.

    Control characters, line separators and invisible marks (such as those that turn the
    direction of writing) become the escapes that Python's repr has for them.
    """
    raw = text if isinstance(text, str) else str(text)
    shown = raw if len(raw) <= limit else raw[:limit] + "…"
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
