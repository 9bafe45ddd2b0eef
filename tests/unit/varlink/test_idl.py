from __future__ import annotations

import enum
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import UsageError
from pyinit.varlink import idl, service
from pyinit.varlink.idl import (
    Array,
    Builtin,
    Enum,
    ErrorDef,
    Field,
    Interface,
    Map,
    Maybe,
    Method,
    Named,
    Record,
    TypeDef,
    parse,
)
from pyinit.varlink.idl_match import mismatches
from pyinit.varlink.idl_reference import markdown, signature

EXAMPLE = """\
# Not a part of the comment below.

# What it is for,
#   in two lines.
interface org.example.Thing-2.x

# A colour.
type Colour (red, green)   # no comment of what follows
type Shape (
  # How wide.
  width: int, # nor this
  name: ?string,
  parts: []Part,
  tags: [string]bool, more: ?[]object,
  size: (x: float, y: float), colour: Colour, kind: (a, b)
)
type Part ()

# Draws it.
method Draw(shape: Shape) -> (
  done: bool
)
error Failed (why: string)
"""

INT, STRING, FLOAT, BOOL = (Builtin(n) for n in ("int", "string", "float", "bool"))
SHAPE = Record(
    (
        Field("width", INT, "How wide."),
        Field("name", Maybe(STRING)),
        Field("parts", Array(Named("Part"))),
        Field("tags", Map(BOOL)),
        Field("more", Maybe(Array(Builtin("object")))),
        Field("size", Record((Field("x", FLOAT), Field("y", FLOAT)))),
        Field("colour", Named("Colour")),
        Field("kind", Enum(("a", "b"))),
    )
)


def test_a_definition_with_everything() -> None:
    assert parse(EXAMPLE) == Interface(
        "org.example.Thing-2.x",
        (
            TypeDef("Colour", Enum(("red", "green")), "A colour."),
            TypeDef("Shape", SHAPE),
            TypeDef("Part", Record()),
            Method(
                "Draw",
                Record((Field("shape", Named("Shape")),)),
                Record((Field("done", BOOL),)),
                "Draws it.",
            ),
            ErrorDef("Failed", Record((Field("why", STRING),))),
        ),
        "What it is for,\nin two lines.",
    )


def test_members_are_found_by_kind() -> None:
    interface = parse(EXAMPLE)
    assert list(interface.types) == ["Colour", "Shape", "Part"]
    assert list(interface.methods) == ["Draw"]
    assert list(interface.errors) == ["Failed"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("kind A ()", "2:1: expected 'type', 'method' or 'error', found 'kind'"),
        ("type a ()", "2:6: expected a name that starts with a capital, found 'a'"),
        ("type A", r"2:7: expected '\(', found the end"),
        ("type A (", r"2:9: expected a field's name or '\)', found the end"),
        ("type A (x: int", r"2:15: expected ',' or '\)', found the end"),
        ("type A (a, b", r"2:13: expected ',' or '\)', found the end"),
        ("type A (x: int y)", r"2:16: expected ',' or '\)', found 'y'"),
        ("type A (x: int,)", r"2:16: expected a field's name, found '\)'"),
        ("type A (x_: int)", "2:9: expected a field's name or"),
        ("type A (x: int,\n  y: word)", "3:6: expected a type, found 'word'"),
        ("type A (x: ??int)", r"2:12: '\?\?' says no more than '\?'"),
        ("type A (x: int, x: int)", "2:17: x is there twice"),
        ("type A (x, y, x)", "2:15: x is there twice"),
        ("type A (x: B)", "2:12: the type B is defined nowhere"),
        ("type A ()\nmethod A() -> ()", "3:8: A is defined twice"),
        ("method A() ()", r"2:12: expected '->', found '\('"),
        ("method A() -> (a, b)", "2:15: expected fields with types, not the values of an enum"),
        ("error A (a, b)", "2:9: expected fields with types"),
        ("error A", r"2:8: expected '\(', found the end"),
        ("type A (x: " + "[]" * 33 + "int)", "types nested more than 32 levels"),
        ("type A (x: " + "(x: " * 50000, "types nested more than 32 levels"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(body: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=f"^x.varlink:.*{complaint}"):
        parse(f"interface a.b\n{body}", "x.varlink")


@pytest.mark.parametrize("text", ["", "# only a comment", "type A ()", "interface", "interface a"])
def test_an_interface_comes_first(text: str) -> None:
    with pytest.raises(UsageError, match=r"^interface:1:\d+: expected"):
        parse(text)


@given(st.text("(){}[]:,?->\n# aAtypemhodrintsg.") | st.text())
def test_no_text_raises_anything_but_usage_error(text: str) -> None:
    for whole in (text, f"interface a.b {text}"):
        try:
            parse(whole)
        except UsageError as error:
            found = str(error)
        else:
            continue
        assert found.startswith("interface:")


names = st.from_regex(r"[a-z](_?[a-z0-9]){0,6}", fullmatch=True)
simple = st.sampled_from(idl.BUILTINS).map(Builtin) | st.just(Named("T"))


def compound(inner: st.SearchStrategy[idl.Type]) -> st.SearchStrategy[idl.Type]:
    return st.one_of(
        inner.map(lambda t: t if isinstance(t, Maybe) else Maybe(t)),
        inner.map(Array),
        inner.map(Map),
        st.lists(names, min_size=1, max_size=3, unique=True).map(lambda v: Enum(tuple(v))),
        records(inner),
    )


def records(inner: st.SearchStrategy[idl.Type]) -> st.SearchStrategy[Record]:
    fields = st.dictionaries(names, inner, max_size=4)
    return fields.map(lambda f: Record(tuple(Field(n, t) for n, t in f.items())))


shapes = records(st.recursive(simple, compound, max_leaves=6))


@given(shapes, shapes, shapes)
def test_what_is_written_reads_back(one: Record, two: Record, three: Record) -> None:
    members: tuple[idl.Member, ...] = (
        TypeDef("T", one),
        Method("M", one, two),
        ErrorDef("E", three),
    )
    text = "\n".join(["interface a.b", *map(signature, members)])
    assert parse(text) == Interface("a.b", members)


def test_the_reference_page() -> None:
    page = markdown(parse(EXAMPLE))
    assert page == markdown(parse(EXAMPLE))
    assert page.startswith(
        "# org.example.Thing-2.x\n\nWhat it is for,\nin two lines.\n\n## Methods"
    )
    assert (
        "### Draw\n\nDraws it.\n\n```varlink\nmethod Draw(shape: Shape) -> (done: bool)\n```\n\n"
        "See [Shape](#shape).\n" in page
    )
    assert "type Shape (\n  # How wide.\n  width: int,\n  name: ?string,\n" in page
    assert "See [Part](#part), [Colour](#colour)." in page
    assert page.index("## Methods") < page.index("## Types") < page.index("## Errors")
    assert markdown(parse("interface a.b")) == "# a.b\n"


def test_long_definitions_take_a_line_for_each_field() -> None:
    long = ", ".join(f"parameter{n}: string" for n in range(6))
    method = parse(f"interface a.b method M({long}) -> (a: int)").methods["M"]
    lines = signature(method).split("\n")
    assert (lines[0], lines[1]) == ("method M(", "  parameter0: string,")
    assert lines[-3:] == [") -> (", "  a: int", ")"]
    none = parse(f"interface a.b method M() -> ({long})").methods["M"]
    assert signature(none).startswith("method M() -> (\n  parameter0: string,\n")


def test_the_service_interface_is_documented() -> None:
    interface = parse(service.definition(service.NAME))
    assert interface.name == service.NAME
    assert interface.doc
    assert all(member.doc for member in interface.members)


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Part(msgspec.Struct):
    pass


class Size(msgspec.Struct):
    x: float
    y: float


class Shape(msgspec.Struct):
    width: int
    parts: list[Part]
    tags: dict[str, bool]
    size: Size
    colour: Colour
    kind: Literal["a", "b"]
    name: str | None = None
    more: tuple[Any, ...] | None = None


class DrawIn(msgspec.Struct):
    shape: Shape


class DrawOut(msgspec.Struct):
    done: bool


class Failed(msgspec.Struct):
    why: str


CARRIERS: dict[str, Any] = {"Draw": (DrawIn, DrawOut), "Failed": Failed}


def test_code_that_is_what_the_definition_says() -> None:
    interface = parse(EXAMPLE)
    assert mismatches(interface, CARRIERS) == []
    assert mismatches(interface, CARRIERS | {"Shape": Shape, "Colour": Colour}) == []
    assert mismatches(interface, CARRIERS | {"Colour": Literal["green", "red"]}) == []


def test_the_structs_of_the_service_interface() -> None:
    interface = parse(service.definition(service.NAME))
    carriers: dict[str, Any] = {
        "GetInfo": (service.Nothing, service.Info),
        "GetInterfaceDescription": (service.Wanted, service.Description),
    }
    found = mismatches(interface, carriers)
    assert found == [f"{name}: in the definition only" for name in interface.errors]


def differences(fields: str, struct: type[msgspec.Struct]) -> list[str]:
    return mismatches(parse(f"interface a.b type T ({fields})"), {"T": struct})


class Odd(msgspec.Struct):
    a: str
    b: str | None
    c: int | str | None = None
    d: Literal["x", "z"] = "x"
    e: list[int] = []


class Loop(msgspec.Struct):
    next: Loop | None = None
    raw: msgspec.Raw = msgspec.Raw(b"{}")
    anything: Any = None
    free: dict[str, Any] = {}


class Sparse(msgspec.Struct, omit_defaults=True):
    a: int = 0


def test_every_kind_of_difference() -> None:
    assert differences("a: int, b: string, c: ?int, d: (x, y), e: []string, f: bool", Odd) == [
        "T.a: int in the definition, str in the code",
        "T.b: string in the definition, union in the code",
        "T.c: int in the definition, union in the code",
        "T.d: values on one side only: y, z",
        "T.e[]: string in the definition, int in the code",
        "T.f: in the definition only",
    ]
    assert differences("a: string, b: ?string, c: (x: int)", Odd) == [
        "T.b: optional, and without a default in the code",
        "T.c: record in the definition, union in the code",
        "T.d: in the code only",
        "T.e: in the code only",
    ]
    assert differences("a: ?string", DrawOut) == [
        "T.a: in the definition only",
        "T.done: in the code only",
    ]
    assert differences("done: ?bool", DrawOut) == [
        "T.done: optional, and without a default in the code",
        "T.done: optional, and None is not allowed in the code",
    ]
    assert differences("done: [string]bool", DrawOut) == [
        "T.done: map in the definition, bool in the code"
    ]
    assert differences("shape: (a, b)", DrawIn) == [
        "T.shape: enum in the definition, Shape in the code"
    ]
    assert differences("a: int", Sparse) == [
        "T.a: not optional, and left out by the code at its default"
    ]


def test_types_that_hold_themselves_and_types_that_hold_anything() -> None:
    fields = "next: ?T, raw: object, anything: ?object, free: object"
    assert differences(fields, Loop) == []


def test_members_of_one_side_only() -> None:
    interface = parse("interface a.b method M() -> () error E ()")
    assert mismatches(interface, {"X": Part}) == [
        "M: in the definition only",
        "E: in the definition only",
        "X: in the code only",
    ]
    assert mismatches(interface, {"M": Part, "E": (Part, Part)}) == [
        "M: a method has two Structs",
        "E: only a method has two Structs",
    ]
