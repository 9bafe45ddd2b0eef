"""Varlink interface definitions, read: https://varlink.org/Interface-Definition.

The comment lines right above the interface, a member or a field are its documentation: no
blank line between, and nothing else before them on the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from pyinit.errors import UsageError

T = TypeVar("T")

BUILTINS = ("bool", "int", "float", "string", "object")
_DEPTH_LIMIT = 32

_COMMENT = re.compile(r"#([^\n]*)")
_BLANK = re.compile(r"[ \t\r\n]+")
_WORD = re.compile(r"[A-Za-z0-9_.-]+|[^ \t\r\n]")
_INTERFACE_NAME = re.compile(r"[A-Za-z](-*[A-Za-z0-9])*(\.[A-Za-z0-9](-*[A-Za-z0-9])*)+")
_MEMBER_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_FIELD_NAME = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")
_KEYWORD = re.compile(r"[a-z]+\b")


class Node(msgspec.Struct, frozen=True):
    """Base of everything that a definition consists of; compared by value."""


class Builtin(Node, frozen=True):
    """One of BUILTINS."""

    name: str


class Named(Node, frozen=True):
    """A type defined by the same interface."""

    name: str


class Maybe(Node, frozen=True):
    """A value that may be null, or left out."""

    of: Type


class Array(Node, frozen=True):
    of: Type


class Map(Node, frozen=True):
    """An object with arbitrary names, each with a value of one type."""

    of: Type


class Enum(Node, frozen=True):
    values: tuple[str, ...]


class Field(Node, frozen=True):
    name: str
    type: Type
    doc: str = ""


class Record(Node, frozen=True):
    """What Varlink calls a struct."""

    fields: tuple[Field, ...] = ()


Type = Builtin | Named | Maybe | Array | Map | Enum | Record


class TypeDef(Node, frozen=True):
    name: str
    type: Record | Enum
    doc: str = ""


class Method(Node, frozen=True):
    name: str
    parameters: Record
    result: Record
    doc: str = ""


class ErrorDef(Node, frozen=True):
    name: str
    parameters: Record
    doc: str = ""


Member = TypeDef | Method | ErrorDef


class Interface(Node, frozen=True):
    """A whole definition, its members in the order of the text."""

    name: str
    members: tuple[Member, ...]
    doc: str = ""

    @property
    def types(self) -> dict[str, TypeDef]:
        return {m.name: m for m in self.members if isinstance(m, TypeDef)}

    @property
    def methods(self) -> dict[str, Method]:
        return {m.name: m for m in self.members if isinstance(m, Method)}

    @property
    def errors(self) -> dict[str, ErrorDef]:
        return {m.name: m for m in self.members if isinstance(m, ErrorDef)}


def parse(text: str, source: str = "interface") -> Interface:
    """Read a definition. Raises UsageError with `source`, line and column (both from 1)."""
    return _Parser(text, source).interface()


class _Parser:
    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._at = 0
        self._doc = ""
        self._depth = 0
        self._names: set[str] = set()
        self._used: list[tuple[str, int]] = []
        self._skip()

    def interface(self) -> Interface:
        doc = self._doc
        self._keyword("interface")
        name = self._name(_INTERFACE_NAME, "an interface name such as org.example.Thing")
        members: list[Member] = []
        while self._at < len(self._text):
            members.append(self._member())
        result = Interface(name, tuple(members), doc)
        self._check_used(result)
        return result

    def _member(self) -> Member:
        doc = self._doc
        if self._take_word("type"):
            return TypeDef(self._new_name(), self._record_or_enum(), doc)
        if self._take_word("method"):
            name, parameters = self._new_name(), self._record()
            self._expect("->")
            return Method(name, parameters, self._record(), doc)
        if self._take_word("error"):
            return ErrorDef(self._new_name(), self._record(), doc)
        raise self._expected("'type', 'method' or 'error'")

    def _new_name(self) -> str:
        start = self._at
        name = self._name(_MEMBER_NAME, "a name that starts with a capital")
        if name in self._names:
            raise self._wrong(
                f"{name} is defined twice; types, methods and errors share names", start
            )
        self._names.add(name)
        return name

    def _type(self) -> Type:
        start = self._at
        if self._take("?"):
            inner = self._type()
            if isinstance(inner, Maybe):
                raise self._wrong("'??' says no more than '?'", start)
            return Maybe(inner)
        if self._take("[]"):
            return Array(self._nested(self._type))
        if self._take("[string]"):
            return Map(self._nested(self._type))
        if self._text.startswith("(", self._at):
            return self._nested(self._record_or_enum)
        for name in BUILTINS:
            if self._take_word(name):
                return Builtin(name)
        name = self._name(_MEMBER_NAME, "a type")
        self._used.append((name, start))
        return Named(name)

    def _nested(self, read: Callable[[], T]) -> T:
        self._depth += 1
        if self._depth > _DEPTH_LIMIT:
            raise self._wrong(f"types nested more than {_DEPTH_LIMIT} levels deep", self._at)
        result = read()
        self._depth -= 1
        return result

    def _record(self) -> Record:
        start = self._at
        result = self._record_or_enum()
        if isinstance(result, Enum):
            raise self._wrong("expected fields with types, not the values of an enum", start)
        return result

    def _record_or_enum(self) -> Record | Enum:
        self._expect("(")
        if self._take(")"):
            return Record()
        doc, first = self._doc, self._name(_FIELD_NAME, "a field's name or ')'")
        if self._text.startswith(":", self._at):
            return self._fields(first, doc)
        return self._values(first)

    def _fields(self, name: str, doc: str) -> Record:
        fields: dict[str, Field] = {}
        while True:
            self._expect(":")
            fields[name] = Field(name, self._type(), doc)
            if not self._take(","):
                break
            doc, name = self._doc, self._unique(fields)
        self._expect(")", "',' or ')'")
        return Record(tuple(fields.values()))

    def _values(self, first: str) -> Enum:
        values = {first: None}
        while self._take(","):
            values[self._unique(values)] = None
        self._expect(")", "',' or ')'")
        return Enum(tuple(values))

    def _unique(self, known: dict[str, Field] | dict[str, None]) -> str:
        start = self._at
        name = self._name(_FIELD_NAME, "a field's name")
        if name in known:
            raise self._wrong(f"{name} is there twice", start)
        return name

    def _check_used(self, interface: Interface) -> None:
        known = interface.types
        for name, at in self._used:
            if name not in known:
                raise self._wrong(f"the type {name} is defined nowhere", at)

    # Reading

    def _skip(self) -> None:
        """Go to the next word; what is documentation of it is kept in `_doc`."""
        lines: list[str] = []
        while True:
            if blank := _BLANK.match(self._text, self._at):
                if blank.group().count("\n") > 1:
                    lines.clear()
                self._at = blank.end()
            elif comment := _COMMENT.match(self._text, self._at):
                if self._starts_line():
                    lines.append(comment.group(1).strip())
                self._at = comment.end()
            else:
                self._doc = "\n".join(lines)
                return

    def _starts_line(self) -> bool:
        line_start = self._text.rfind("\n", 0, self._at) + 1
        return not self._text[line_start : self._at].strip()

    def _take(self, symbol: str) -> bool:
        if not self._text.startswith(symbol, self._at):
            return False
        self._at += len(symbol)
        self._skip()
        return True

    def _take_word(self, word: str) -> bool:
        found = _KEYWORD.match(self._text, self._at)
        return found is not None and found.group() == word and self._take(word)

    def _keyword(self, word: str) -> None:
        if not self._take_word(word):
            raise self._expected(f"'{word}'")

    def _expect(self, symbol: str, wanted: str = "") -> None:
        if not self._take(symbol):
            raise self._expected(wanted or f"'{symbol}'")

    def _name(self, pattern: re.Pattern[str], wanted: str) -> str:
        word = _WORD.match(self._text, self._at)
        if word is None or not pattern.fullmatch(word.group()):
            raise self._expected(wanted)
        self._take(word.group())
        return word.group()

    def _expected(self, wanted: str) -> UsageError:
        word = _WORD.match(self._text, self._at)
        found = f"'{word.group()[:40]}'" if word else "the end"
        return self._wrong(f"expected {wanted}, found {found}", self._at)

    def _wrong(self, message: str, at: int) -> UsageError:
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        return UsageError(f"{self._source}:{line}:{column}: {message}")
