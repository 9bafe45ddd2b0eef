"""The positions agree with tomllib on any document that it accepts."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pyinit.spec.faults import Path
from pyinit.spec.positions import Positions

NAMES = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True), st.text("aä.#\"'\\[]= \t\n", max_size=4)
)
BLANKS = st.sampled_from(["", " ", "\t", "  "])
GAPS = st.sampled_from(["", " ", "\n", " # ] } , = \n", "\r\n"])
SCALARS = st.one_of(
    st.integers().map(str),
    st.sampled_from(["true", "1.5", "inf", "1979-05-27 07:32:00", "0x1F", "07:32:00"]),
    st.text('ab#,]}="\\\n', max_size=6).map(json.dumps),
    st.text('ab#,]}="\\', max_size=6).map(lambda text: f"'{text}'"),
    st.text("ab#]}\n", max_size=6).map(lambda text: f'"""{text}"""'),
    st.sampled_from(['"""a"""""', '""""a"""', '"""\\""""', "''''a'''", "'''a'''''", '""""""']),
)


def quoted(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "x").isalnum()
    return name if bare else json.dumps(name)


@st.composite
def inline_values(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.integers(0, 2)) if depth else 0
    if kind == 0:
        scalar: str = draw(SCALARS)
        return scalar
    if kind == 1:
        items = draw(st.lists(inline_values(depth=depth - 1), max_size=3))
        text = ",".join(draw(GAPS) + item + draw(GAPS) for item in items)
        comma = draw(st.sampled_from([",", ""])) if items else ""
        return f"[{text}{comma}{draw(GAPS)}]"
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    pairs = [f"{quoted(name)} = {draw(inline_values(depth=depth - 1))}" for name in names]
    return "{" + draw(BLANKS) + ", ".join(pairs) + draw(BLANKS) + "}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Text that is often TOML: sections, dotted keys, inline values, blanks and comments."""
    lines = []
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            path = ".".join(map(quoted, draw(st.lists(NAMES, min_size=1, max_size=3))))
            form = draw(st.sampled_from(["[{}]", "[[{}]]", " [ {} ] # x"]))
            lines.append(form.format(path))
        else:
            path = " . ".join(map(quoted, draw(st.lists(NAMES, min_size=1, max_size=2))))
            equals = draw(BLANKS) + "=" + draw(BLANKS)
            lines.append(draw(BLANKS) + path + equals + draw(inline_values()))
        lines.extend(draw(st.lists(st.sampled_from(["", "# [x]"]), max_size=1)))
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from paths(item, (*path, number))


@settings(deadline=None)
@given(documents())
def test_every_path_that_tomllib_finds_has_a_position_and_no_other_has(text: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    positions = Positions(text)
    assert set(paths(data)) == positions.keys.keys() | positions.values.keys()


@settings(deadline=None)
@given(documents())
def test_what_stands_at_a_key_is_the_key(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = text.split("\n")
    positions = Positions(text)
    for path in positions.keys:
        if isinstance(path[-1], str):
            line, column = positions.of_key(path)
            assert lines[line - 1][column - 1 :].startswith(
                (quoted(path[-1]), json.dumps(path[-1]))
            )


def test_positions_of_values_and_elements() -> None:
    positions = Positions('# x\n[services.web]\ncommand = ["a",\n  "b"]\n')
    command: Path = ("services", "web", "command")
    assert positions.of_key(command) == (3, 1)
    assert positions.of_value(command) == (3, 11)
    assert positions.of_value((*command, 1)) == (4, 3)
    assert positions.of_key(("services", "web")) == (2, 11)


def test_quoted_keys() -> None:
    positions = Positions("[x.'a b'.\"c\\td\"]\ny = 1\n")
    assert positions.of_key(("x", "a b")) == (1, 4)
    assert positions.of_value(("x", "a b", "c\td", "y")) == (2, 5)


def test_an_unknown_path_is_where_the_nearest_table_is() -> None:
    positions = Positions("a = 1\n[b]\nc = 2\n")
    assert positions.of_value(("b", "x", "y")) == (2, 2)
    assert positions.of_value(("nothing",)) == (1, 1)


def test_later_elements_of_an_array_of_tables_have_their_own_place() -> None:
    positions = Positions("[[a]]\nx = 1\n[[a]]\nx = 2\n[a.b]\ny = 3\n")
    assert positions.of_value(("a", 0, "x")) == (2, 5)
    assert positions.of_value(("a", 1, "x")) == (4, 5)
    assert positions.of_value(("a", 1, "b", "y")) == (6, 5)
