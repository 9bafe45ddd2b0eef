"""msgspec and pathlib without what they load for parts that are used nowhere here.

That is more than half of their time. msgspec loads its readers of TOML, YAML and MessagePack, its
JSON schemas and its introspection, and with them textwrap; typing_extensions where that is
installed, of which it needs nothing that typing lacks, and which loads inspect, ast and tokenize;
uuid, which loads platform to ask for nothing but the system's name; and datetime, which goes
through a second one written in Python. pathlib loads urllib.parse, and that ipaddress, for the
one function behind `as_uri`.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from types import ModuleType

    StandIns = dict[str, ModuleType | None]

_PARTS = ("inspect", "msgpack", "toml", "yaml")


def load() -> None:
    """Load both, unless they are there. What is left out can be imported afterwards as ever."""
    _load("msgspec.json", _for_msgspec())
    _load("pathlib", _for_pathlib())
    if "msgspec" in sys.modules:
        _forget_parts()


def _load(name: str, stand_ins: StandIns) -> None:
    """Import a module while the stand-ins have the place of what it would load."""
    before = {*sys.modules}
    if name in before:
        return
    placed = {each: module for each, module in stand_ins.items() if each not in before}
    # None makes an import fail as if the module were not installed.
    sys.modules.update(placed)  # type: ignore[arg-type]
    try:
        __import__(name)
    except (ImportError, AttributeError):
        # Another version, which needs them after all: it is imported where it is used.
        for each in {*sys.modules} - before - {*placed}:
            if each.partition(".")[0] in (name.partition(".")[0], "uuid"):
                del sys.modules[each]
    finally:
        for each, module in placed.items():
            if sys.modules.get(each, module) is module:
                sys.modules.pop(each, None)


def _for_msgspec() -> StandIns:
    schema, platform = _module("msgspec._json_schema"), _module("platform")
    vars(schema).update(schema=None, schema_components=None)
    vars(platform).update(system=lambda: posix.uname().sysname)
    parts = {f"msgspec.{part}": _module(f"msgspec.{part}") for part in _PARTS}
    # The classes are the same in both.
    whole = {"datetime": __import__("_datetime"), "platform": platform, "typing_extensions": None}
    return {**parts, "msgspec._json_schema": schema, **whole}


def _forget_parts() -> None:
    import msgspec.json

    for part in _PARTS:
        if f"msgspec.{part}" not in sys.modules:
            vars(msgspec).pop(part, None)
    if "msgspec._json_schema" not in sys.modules:
        for name in ("schema", "schema_components"):
            vars(msgspec.json).pop(name, None)


def _for_pathlib() -> StandIns:
    parse = _module("urllib.parse")
    vars(parse).update(quote_from_bytes=_quote_from_bytes)
    return {"urllib": _module("urllib"), "urllib.parse": parse}


def _quote_from_bytes(path: bytes) -> str:
    from urllib.parse import quote_from_bytes

    return quote_from_bytes(path)


def _module(name: str) -> ModuleType:
    return type(sys)(name)
