"""Services from TOML: one file, or a folder of layers merged in the order of their names.

    [services.web]
    command = "nginx -g 'daemon off;'"
    requires = ["database"]

A service that a later layer names again is merged into the earlier one: tables key by key,
everything else replaced. `override = "replace"` in the later layer drops the earlier one.
"""

from __future__ import annotations

import os
import re
import tomllib
from typing import Any

import msgspec

from pyinit.errors import NotFound, SystemFault, UsageError
from pyinit.spec.faults import Fault, Path, Place, SpecError
from pyinit.spec.positions import Positions
from pyinit.spec.reading import read_table, unknown_name
from pyinit.spec.rules import find_faults
from pyinit.spec.service import Services, ServiceSpec

_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_NO_COMMAND = ("?",)
# More than any real file, and little enough for a reader that trusts nobody.
_LARGEST = 4 << 20


class Layer(msgspec.Struct, frozen=True):
    """One file: its name for messages, and its text."""

    name: str
    text: str


def load_services(path: str | os.PathLike[str]) -> Services:
    """The services of a TOML file, or of all `*.toml` in a folder.

    Raises NotFound where there is nothing to read, and SpecError with every fault of every
    file, each with its line and column.
    """
    return read_layers([_read(name) for name in _files(os.fspath(path))])


def read_layers(layers: list[Layer]) -> Services:
    """The services in `layers`, later ones over earlier ones. Raises SpecError."""
    merged = _Merged()
    for layer in layers:
        merged.add(layer)
    services = merged.services()
    if merged.faults:
        raise SpecError(sorted(merged.faults, key=_by_place))
    return services


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    names = sorted(name for name in os.listdir(path) if name.endswith(".toml"))
    if not names:
        raise NotFound(f"no *.toml in {path}: give a file, or a folder of layers")
    return [os.path.join(path, name) for name in names]


def _read(name: str) -> Layer:
    try:
        with open(name, "rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise NotFound(f"no services in {name}: no such file") from None
    except OSError as error:
        raise SystemFault(f"read services from {name}", error) from error
    if len(data) > _LARGEST:
        raise UsageError(f"{name} is larger than {_LARGEST >> 20} MiB")
    try:
        return Layer(name, data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        fault = Fault((), "not UTF-8", Place(name, line, column))
        raise SpecError([fault]) from None


def _by_place(fault: Fault) -> tuple[str, int, int]:
    place = fault.place or Place("", 0, 0)
    return place.file, place.line, place.column


Origin = tuple[str, Positions]


class _Merged:
    """The layers so far, and for each path the layer that said the last word on it."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._tables: dict[str, dict[str, Any]] = {}
        self._origins: dict[str, dict[Path, Origin]] = {}

    def add(self, layer: Layer) -> None:
        try:
            data = tomllib.loads(layer.text)
            origin = (layer.name, Positions(layer.text))
        except ValueError as error:
            self.faults.append(_syntax_fault(layer, str(error)))
            return
        except RecursionError:
            self.faults.append(_syntax_fault(layer, "nested too deeply"))
            return
        for key in data.keys() - {"services"}:
            self._note(origin, (key,), unknown_name("key", key, ["services"]), at_key=True)
        services = data.get("services", {})
        if not isinstance(services, dict):
            self._note(origin, ("services",), "`services`: expected tables [services.NAME]")
            return
        for name, table in services.items():
            self._add_service(name, table, origin)

    def _add_service(self, name: str, table: Any, origin: Origin) -> None:
        path: Path = ("services", name)
        if not isinstance(table, dict):
            self._note(origin, path, f"expected a table [services.{name}]")
            return
        override = table.pop("override", "merge")
        if override not in ("merge", "replace"):
            self._note(origin, (*path, "override"), '`override`: expected "merge" or "replace"')
        if override == "replace" or name not in self._tables:
            self._tables[name] = {}
            self._origins[name] = {path: origin}
        self._merge(self._tables[name], table, path, origin)

    def _merge(
        self, into: dict[str, Any], table: dict[str, Any], path: Path, origin: Origin
    ) -> None:
        origins = self._origins[str(path[1])]
        for key, value in table.items():
            here = (*path, key)
            earlier = into.get(key)
            if isinstance(value, dict) and isinstance(earlier, dict):
                self._merge(earlier, value, here, origin)
                continue
            for stale in [known for known in origins if known[: len(here)] == here]:
                del origins[stale]
            into[key] = value
            origins[here] = origin

    def services(self) -> Services:
        found: Services = {}
        for name, table in self._tables.items():
            path: Path = ("services", name)
            spec = read_table(ServiceSpec, table, path, self._report)
            # A service without a command is still there for others to refer to.
            found[name] = spec or self._without_command(table, path)
        for fault in find_faults(found):
            self._report(fault.path, fault.message)
        return found

    def _without_command(self, table: dict[str, Any], path: Path) -> ServiceSpec:
        whole = {**table, "command": list(_NO_COMMAND)}
        spec = read_table(ServiceSpec, whole, path, _keep_quiet)
        assert spec is not None
        return spec

    def _report(self, path: Path, message: str, *, at_key: bool = False) -> None:
        origins = self._origins[str(path[1])]
        lengths = range(len(path), 1, -1)
        origin = next(origins[path[:n]] for n in lengths if path[:n] in origins)
        self._note(origin, path, message, at_key=at_key)

    def _note(self, origin: Origin, path: Path, message: str, *, at_key: bool = False) -> None:
        name, positions = origin
        place = positions.of_key(path) if at_key else positions.of_value(path)
        self.faults.append(Fault(path, message, Place(name, *place)))


def _keep_quiet(path: Path, message: str, *, at_key: bool = False) -> None:
    """The faults of this table are reported already."""


def _syntax_fault(layer: Layer, message: str) -> Fault:
    match = _SYNTAX.fullmatch(message)
    if match is None:
        return Fault((), message, Place(layer.name, 1, 1))
    if match[2] is None:
        lines = layer.text.split("\n")
        return Fault(
            (), f"{match[1]} at the end", Place(layer.name, len(lines), len(lines[-1]) + 1)
        )
    return Fault((), match[1], Place(layer.name, int(match[2]), int(match[3])))
