"""From the plain values of a TOML table to a specification, with every fault on the way.

msgspec stops at the first thing that is wrong; so each key is converted by itself here, and
a faulty one leaves its default behind, so that the rest can be checked as well.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, Protocol, TypeVar, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, fields

from pyinit.errors import UsageError
from pyinit.spec import service, units
from pyinit.spec.faults import Path
from pyinit.spec.limits import UNLIMITED, Limits

T = TypeVar("T", bound=msgspec.Struct)


class Report(Protocol):
    """Called for each fault: with the path of a value, or of the key itself (`at_key`)."""

    def __call__(self, path: Path, message: str, *, at_key: bool = False) -> None: ...


_WHERE = re.compile(r"(.*) - at `\$((?:\[[^\]]*\])*)`", re.DOTALL)
_INDEX = re.compile(r"\[(\d+)\]")
_NO_LIMIT = frozenset({"-1", "infinity", "max", "unlimited"})
_TABLES: dict[str, type[msgspec.Struct]] = {
    "backoff": service.Backoff,
    "http": service.HttpCheck,
    "limits": Limits,
    "log": service.LogOptions,
}
_TABLES_BY_NAME: dict[str, type[msgspec.Struct]] = {"checks": service.Check}
_ARRAYS_OF_TABLES: dict[str, type[msgspec.Struct]] = {"sockets": service.SocketSpec}


def read_table(cls: type[T], table: dict[str, Any], path: Path, report: Report) -> T | None:
    """An instance of `cls` from `table`; None where a required key is missing or faulty."""
    known = _fields(cls)
    for key in table.keys() - known.keys():
        report((*path, key), unknown_name("key", key, known), at_key=True)
    values: dict[str, Any] = {}
    for key, field in known.items():
        if key in table:
            _read_field(field, table[key], (*path, key), values, report)
        elif field.required:
            report(path, f"`{key}` is missing")
    if any(field.required and field.name not in values for field in known.values()):
        return None
    try:
        return cls(**values)
    except (UsageError, ValueError) as error:
        report(path, str(error))
        return None


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is not among the `known` ones, with the nearest of them."""
    near = get_close_matches(name, list(known), n=1)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    return f"unknown {kind} `{name}`{hint}"


@cache
def _fields(cls: type[msgspec.Struct]) -> dict[str, FieldInfo]:
    """By their names in a file: in kebab-case, whatever they are called in JSON."""
    return {field.encode_name.replace("_", "-"): field for field in fields(cls)}


def _read_field(
    field: FieldInfo, value: Any, path: Path, values: dict[str, Any], report: Report
) -> None:
    try:
        value = _PREPARE.get(field.name, _as_it_is)(value)
    except ValueError as error:
        report(path, f"`{path[-1]}`: {error}")
        return
    found = _nested(field.name, value, path, report)
    if found is None:
        found = _convert(field, value, path, report)
    if found is not msgspec.UNSET:
        values[field.name] = found


def _nested(name: str, value: Any, path: Path, report: Report) -> Any:
    """What a table of its own holds; None where the field, or the value, is no such thing."""
    if name in _TABLES and isinstance(value, dict):
        return _or_unset(read_table(_TABLES[name], value, path, report))
    if name in _TABLES_BY_NAME and _all_tables(value, dict):
        cls = _TABLES_BY_NAME[name]
        named = {key: read_table(cls, item, (*path, key), report) for key, item in value.items()}
        return {key: item for key, item in named.items() if item is not None}
    if name in _ARRAYS_OF_TABLES and _all_tables(value, list):
        cls = _ARRAYS_OF_TABLES[name]
        items = [read_table(cls, item, (*path, at), report) for at, item in enumerate(value)]
        return tuple(item for item in items if item is not None)
    return None


def _or_unset(value: Any) -> Any:
    return msgspec.UNSET if value is None else value


def _all_tables(value: Any, container: type[Any]) -> bool:
    if type(value) is not container:
        return False
    items: Iterable[Any] = value.values() if container is dict else value
    return all(isinstance(item, dict) for item in items)


def _convert(field: FieldInfo, value: Any, path: Path, report: Report) -> Any:
    if get_origin(field.type) is Literal and value not in get_args(field.type):
        report(path, f"`{path[-1]}`: {_choice(value, get_args(field.type))}")
        return msgspec.UNSET
    try:
        return msgspec.convert(value, field.type)
    except msgspec.ValidationError as error:
        message, deeper = _split(str(error))
        report((*path, *deeper), f"`{path[-1]}`: {message}")
        return msgspec.UNSET


def _split(message: str) -> tuple[str, Path]:
    """msgspec's message without its path, and the indexes in that path."""
    match = _WHERE.fullmatch(message)
    if match is None:
        return message, ()
    return match[1], tuple(int(number) for number in _INDEX.findall(match[2]))


def _choice(value: object, allowed: tuple[str, ...]) -> str:
    options = ", ".join(f'"{item}"' for item in allowed)
    near = get_close_matches(value, allowed, n=1) if isinstance(value, str) else []
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return f"expected one of {options}, got {value!r}{hint}"


# How people may write a value, turned into what the specification holds. Each raises
# ValueError; a value of the wrong kind is passed on, for msgspec to name what it expects.


def _as_it_is(value: Any) -> Any:
    return value


def _words(value: Any) -> Any:
    return shlex.split(value) if isinstance(value, str) else value


def _octal(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return int(value, 8)
    except ValueError:
        raise ValueError(f'expected an octal number such as "0022", got {value!r}') from None


def _text_values(value: Any) -> Any:
    """Numbers in an environment are taken as they are written."""
    if not isinstance(value, dict):
        return value
    return {key: str(item) if _is_number(item) else item for key, item in value.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _exit_codes(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [128 + units.signal_number(item) if isinstance(item, str) else item for item in value]


def _rlimits(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key.lower().removeprefix("rlimit_"): _rlimit(item) for key, item in value.items()}


def _rlimit(value: Any) -> Any:
    """`[soft, hard]` from that, from one number for both, or from "soft:hard"."""
    if isinstance(value, str):
        soft, _, hard = value.partition(":")
        return [_rlimit_number(soft), _rlimit_number(hard or soft)]
    if isinstance(value, list):
        return [_rlimit_number(item) for item in value]
    return [value, value]


def _rlimit_number(value: Any) -> Any:
    return _size_or_unlimited(value) if isinstance(value, str) else value


def _size_or_unlimited(value: Any) -> int:
    if value == -1 or (isinstance(value, str) and value.strip().lower() in _NO_LIMIT):
        return UNLIMITED
    return units.size(value)


def _listen_addresses(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [{"listen": item} if isinstance(item, str) else item for item in value]


def _url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


def _port(value: Any) -> Any:
    return str(value) if _is_number(value) else value


_PREPARE: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        (
            "extend_limit",
            "initial",
            "limit",
            "period",
            "reset_after",
            "start_period",
            "start_timeout",
            "stop_timeout",
            "timeout",
            "watchdog",
        ),
        units.duration,
    ),
    **dict.fromkeys(
        ("memory", "memory_high", "memory_reservation", "memory_swap"), _size_or_unlimited
    ),
    "max_size": units.size,
    **dict.fromkeys(("command", "exec", "stop_command"), _words),
    **dict.fromkeys(("mode", "umask"), _octal),
    "env": _text_values,
    "http": _url,
    "rlimits": _rlimits,
    "sockets": _listen_addresses,
    "stop_signal": units.signal_number,
    "success_exit_codes": _exit_codes,
    "tcp": _port,
}
