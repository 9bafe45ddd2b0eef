"""Where each key and value of a TOML file stands: tomllib tells what, not where.

Only for text that tomllib has accepted: the scanner follows the grammar and trusts it.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

from pyinit.spec.faults import Path

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}(?!")', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'{3,5}(?!')", re.DOTALL)
_PLAIN = re.compile(r"[^,\]}#\r\n]+")


class Positions:
    """Lines and columns, counted from 1, of every key and value in `text`."""

    def __init__(self, text: str) -> None:
        # tomllib reads CRLF as LF, which moves no line and no column.
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        scan = _Scanner(text)
        scan.document()
        self.keys, self.values = scan.keys, scan.values

    def of_key(self, path: Path) -> tuple[int, int]:
        """Where the last key of `path` stands, or the nearest table around it."""
        return self._nearest(path, self.keys)

    def of_value(self, path: Path) -> tuple[int, int]:
        """Where the value at `path` begins, or the nearest table around it."""
        return self._nearest(path, self.values)

    def _nearest(self, path: Path, offsets: dict[Path, int]) -> tuple[int, int]:
        for length in range(len(path), 0, -1):
            offset = offsets.get(path[:length], self.keys.get(path[:length]))
            if offset is not None:
                return self.at(offset)
        return 1, 1

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column of the character at `offset`."""
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.keys: dict[Path, int] = {}
        self.values: dict[Path, int] = {}
        self._elements: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        while self._skip_blank():
            if self._take("[["):
                table = self._header(array=True)
            elif self._take("["):
                table = self._header(array=False)
            else:
                self._pair(table)

    def _header(self, *, array: bool) -> Path:
        path: Path = ()
        parts = self._dotted_key()
        for number, (name, offset) in enumerate(parts, 1):
            path = (*path, name)
            self.keys.setdefault(path, offset)
            if array and number == len(parts):
                self._elements[path] = self._elements.get(path, -1) + 1
            if path in self._elements:
                path = (*path, self._elements[path])
                self.keys.setdefault(path, offset)
        # A later header says more about a table than the dotted one that implied it.
        self.keys[path] = parts[-1][1]
        self._skip_blank()
        self._take("]]" if array else "]")
        return path

    def _pair(self, table: Path) -> None:
        path = table
        for name, offset in self._dotted_key():
            path = (*path, name)
            self.keys.setdefault(path, offset)
        self._skip_blank()
        self._take("=")
        self._value(path)

    def _dotted_key(self) -> list[tuple[str, int]]:
        parts = []
        while True:
            self._skip_blank()
            parts.append(self._key())
            self._skip_blank()
            if not self._take("."):
                return parts

    def _key(self) -> tuple[str, int]:
        start = self.at
        if self.text[start] == "'":
            return self._match(_LITERAL)[1:-1], start
        if self.text[start] == '"':
            decoded: str = tomllib.loads(f"key = {self._match(_BASIC)}")["key"]
            return decoded, start
        return self._match(_BARE_KEY), start

    def _value(self, path: Path) -> None:
        self._skip_blank()
        self.values[path] = self.at
        if self._take("["):
            self._array(path)
        elif self._take("{"):
            self._inline_table(path)
        else:
            self._match(self._scalar())

    def _scalar(self) -> re.Pattern[str]:
        for opening, pattern in (
            ('"""', _LONG_BASIC),
            ("'''", _LONG_LITERAL),
            ('"', _BASIC),
            ("'", _LITERAL),
        ):
            if self.text.startswith(opening, self.at):
                return pattern
        return _PLAIN

    def _array(self, path: Path) -> None:
        number = 0
        while not self._closed("]"):
            self._value((*path, number))
            number += 1

    def _inline_table(self, path: Path) -> None:
        while not self._closed("}"):
            self._pair(path)

    def _closed(self, bracket: str) -> bool:
        """Whether `bracket` comes next, after at most one comma."""
        self._skip_blank()
        if self._take(","):
            self._skip_blank()
        return self._take(bracket)

    def _skip_blank(self) -> bool:
        self._match(_BLANK)
        return self.at < len(self.text)

    def _take(self, token: str) -> bool:
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match is not None, "tomllib has accepted this text"
        self.at = match.end()
        return match[0]
