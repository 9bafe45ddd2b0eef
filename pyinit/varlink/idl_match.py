"""Whether the Structs that carry an interface's parameters are what its definition says."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import msgspec
from msgspec import inspect

from pyinit.varlink.idl import (
    Array,
    Builtin,
    Enum,
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

Struct: TypeAlias = type[msgspec.Struct]
Carriers: TypeAlias = type | tuple[Struct, Struct]

_BUILTIN: dict[str, Callable[[inspect.Type], bool]] = {
    "bool": lambda t: isinstance(t, inspect.BoolType),
    "int": lambda t: isinstance(t, inspect.IntType),
    "float": lambda t: isinstance(t, inspect.FloatType),
    # Values that the interface's own enums could not have, such as stop-command, are strings.
    "string": lambda t: isinstance(t, inspect.StrType | inspect.LiteralType | inspect.EnumType),
    "object": lambda t: isinstance(t, inspect.AnyType | inspect.RawType | inspect.DictType),
}
_ARRAYS = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)


def mismatches(interface: Interface, carriers: Mapping[str, Carriers]) -> list[str]:
    """Every difference between the definition and the code, one line each; none if they agree.

    `carriers` has for a method the pair of its Structs (parameters, result), for an error the
    Struct of its parameters, for a type its Struct, Enum or Literal; each under its name.
    Types may be left out: they are compared wherever a field has them.

    An optional field is `T | None` with a default. A field that is not optional has no None,
    and no default where its Struct leaves defaults out.
    """
    return list(_Match(interface).compare(carriers))


class _Match:
    def __init__(self, interface: Interface) -> None:
        self._types = interface.types
        self._members = {m.name: m for m in interface.members}
        self._seen: set[tuple[str, object]] = set()

    def compare(self, carriers: Mapping[str, Carriers]) -> Iterator[str]:
        for name, member in self._members.items():
            if name in carriers:
                yield from self._member(member, carriers[name])
            elif not isinstance(member, TypeDef):
                yield f"{name}: in the definition only"
        for name in carriers:
            if name not in self._members:
                yield f"{name}: in the code only"

    def _member(self, member: Member, carriers: Carriers) -> Iterator[str]:
        if isinstance(member, Method):
            if not isinstance(carriers, tuple):
                yield f"{member.name}: a method has two Structs"
                return
            yield from self._record(f"{member.name} parameters", member.parameters, carriers[0])
            yield from self._record(f"{member.name} result", member.result, carriers[1])
        elif isinstance(carriers, tuple):
            yield f"{member.name}: only a method has two Structs"
        else:
            kind = member.type if isinstance(member, TypeDef) else member.parameters
            yield from self._type(member.name, kind, inspect.type_info(carriers))

    def _record(self, place: str, record: Record, struct: Struct) -> Iterator[str]:
        yield from self._type(place, record, inspect.type_info(struct))

    def _type(self, place: str, kind: Type, found: inspect.Type) -> Iterator[str]:
        if isinstance(kind, Named):
            if (kind.name, _identity(found)) not in self._seen:
                self._seen.add((kind.name, _identity(found)))
                yield from self._type(place, self._types[kind.name].type, found)
        elif isinstance(kind, Maybe):
            inner = _without_none(found)
            if inner is None:
                yield f"{place}: optional, and None is not allowed in the code"
            else:
                yield from self._type(place, kind.of, inner)
        elif isinstance(kind, Record) and isinstance(found, inspect.StructType):
            yield from self._fields(place, kind, found)
        else:
            yield from self._plain(place, kind, found)

    def _plain(self, place: str, kind: Type, found: inspect.Type) -> Iterator[str]:
        if isinstance(kind, Builtin) and _BUILTIN[kind.name](found):
            return
        if isinstance(kind, Array) and isinstance(found, _ARRAYS):
            yield from self._type(f"{place}[]", kind.of, found.item_type)
        elif isinstance(kind, Map) and isinstance(found, inspect.DictType):
            yield from self._type(f"{place}[string]", kind.of, found.value_type)
        elif isinstance(kind, Enum) and (values := _values(found)) is not None:
            if values != set(kind.values):
                odd = ", ".join(sorted(values ^ set(kind.values)))
                yield f"{place}: values on one side only: {odd}"
        else:
            yield f"{place}: {_name(kind)} in the definition, {_name(found)} in the code"

    def _fields(self, place: str, record: Record, found: inspect.StructType) -> Iterator[str]:
        here = {field.encode_name: field for field in found.fields}
        for field in record.fields:
            if field.name in here:
                yield from self._field(f"{place}.{field.name}", field, here[field.name], found)
            else:
                yield f"{place}.{field.name}: in the definition only"
        known = {field.name for field in record.fields}
        for name in here:
            if name not in known:
                yield f"{place}.{name}: in the code only"

    def _field(
        self, place: str, field: Field, found: inspect.Field, struct: inspect.StructType
    ) -> Iterator[str]:
        if isinstance(field.type, Maybe):
            if found.required:
                yield f"{place}: optional, and without a default in the code"
        elif not found.required and struct.cls.__struct_config__.omit_defaults:
            yield f"{place}: not optional, and left out by the code at its default"
        yield from self._type(place, field.type, found.type)


def _without_none(found: inspect.Type) -> inspect.Type | None:
    """What is left of a union without None; None where there was none. Any may be null."""
    if isinstance(found, inspect.AnyType | inspect.RawType):
        return found
    if not isinstance(found, inspect.UnionType) or not found.includes_none:
        return None
    rest = tuple(t for t in found.types if not isinstance(t, inspect.NoneType))
    return rest[0] if len(rest) == 1 else inspect.UnionType(rest)


def _values(found: inspect.Type) -> set[str] | None:
    if isinstance(found, inspect.LiteralType):
        return {str(value) for value in found.values}
    if isinstance(found, inspect.EnumType):
        members: type[enum.Enum] = found.cls
        return {str(member.value) for member in members}
    return None


def _identity(found: inspect.Type) -> object:
    return found.cls if isinstance(found, inspect.StructType) else repr(found)


def _name(kind: object) -> str:
    if isinstance(kind, Builtin):
        return kind.name
    if isinstance(kind, inspect.StructType):
        return kind.cls.__name__
    return type(kind).__name__.removesuffix("Type").lower()
