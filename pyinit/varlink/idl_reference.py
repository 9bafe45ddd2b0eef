"""A reference page from an interface definition."""

from __future__ import annotations

from collections.abc import Iterator

from pyinit.varlink.idl import (
    Array,
    Builtin,
    Enum,
    ErrorDef,
    Field,
    Interface,
    Map,
    Maybe,
    Member,
    Method,
    Named,
    Record,
    Type,
    TypeDef,
)

_WIDTH = 88


def markdown(interface: Interface) -> str:
    """The page: every method, type and error with its comment and its definition.

    The same interface always gives the same text, so a test can hold a page to it.
    """
    parts = [f"# {interface.name}"]
    if interface.doc:
        parts.append(interface.doc)
    parts += _section("Methods", interface.methods)
    parts += _section("Types", interface.types)
    parts += _section("Errors", interface.errors)
    return "\n\n".join(parts) + "\n"


def signature(member: Member) -> str:
    """The member's definition, in one line or several, as it could stand in the IDL."""
    if isinstance(member, TypeDef):
        return f"type {member.name} {_in_lines(member.type, 5 + len(member.name))}"
    if isinstance(member, ErrorDef):
        return f"error {member.name} {_in_lines(member.parameters, 6 + len(member.name))}"
    head = f"method {member.name}"
    flat = f"{head}{_text(member.parameters)} -> {_text(member.result)}"
    if len(flat) <= _WIDTH:
        return flat
    parameters = _in_lines(member.parameters, len(head) + 6)
    return f"{head}{parameters} -> {_in_lines(member.result, _WIDTH)}"


def _section(
    title: str,
    members: dict[str, Method] | dict[str, TypeDef] | dict[str, ErrorDef],
) -> Iterator[str]:
    if members:
        yield f"## {title}"
    for member in members.values():
        yield f"### {member.name}"
        if member.doc:
            yield member.doc
        yield f"```varlink\n{signature(member)}\n```"
        yield from _links(member)


def _links(member: Member) -> Iterator[str]:
    names = dict.fromkeys(name for part in _types(member) for name in _named(part))
    if names:
        yield "See " + ", ".join(f"[{name}](#{name.lower()})" for name in names) + "."


def _types(member: Member) -> tuple[Type, ...]:
    if isinstance(member, TypeDef):
        return (member.type,)
    if isinstance(member, ErrorDef):
        return (member.parameters,)
    return member.parameters, member.result


def _named(kind: Type) -> Iterator[str]:
    if isinstance(kind, Named):
        yield kind.name
    elif isinstance(kind, Maybe | Array | Map):
        yield from _named(kind.of)
    elif isinstance(kind, Record):
        for field in kind.fields:
            yield from _named(field.type)


def _in_lines(kind: Record | Enum, before: int) -> str:
    """One field to a line where it does not fit into one, or where fields have comments."""
    flat = _text(kind)
    if isinstance(kind, Enum) or not kind.fields:
        return flat
    if before + len(flat) <= _WIDTH and not any(field.doc for field in kind.fields):
        return flat
    return "(\n" + ",\n".join(_field_lines(field) for field in kind.fields) + "\n)"


def _field_lines(field: Field) -> str:
    comment = "".join(f"  # {line}\n" for line in field.doc.split("\n") if field.doc)
    return f"{comment}  {field.name}: {_text(field.type)}"


def _text(kind: Type) -> str:
    if isinstance(kind, Builtin | Named):
        return kind.name
    if isinstance(kind, Maybe):
        return f"?{_text(kind.of)}"
    if isinstance(kind, Array):
        return f"[]{_text(kind.of)}"
    if isinstance(kind, Map):
        return f"[string]{_text(kind.of)}"
    if isinstance(kind, Enum):
        return f"({', '.join(kind.values)})"
    return f"({', '.join(f'{f.name}: {_text(f.type)}' for f in kind.fields)})"
