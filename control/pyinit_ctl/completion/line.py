"""A command line that is being typed, as words."""

from __future__ import annotations


def split(line: str) -> list[str]:
    """The words up to the cursor; the last is unfinished, and empty behind a space.

    Quotes that are still open, and a backslash with nothing behind it, end with the line.
    """
    words, quote, escaped, begun = [""], "", False, False
    for letter in line:
        if escaped:
            words[-1] += letter
            escaped = False
        elif letter == "\\" and quote != "'":
            escaped = begun = True
        elif quote:
            quote, added = ("", "") if letter == quote else (quote, letter)
            words[-1] += added
        elif letter in "'\"":
            quote, begun = letter, True
        elif not letter.isspace():
            words[-1] += letter
            begun = True
        elif begun:
            words.append("")
            begun = False
    return words
