"""The interface `org.varlink.service`: https://varlink.org/Service. Pure answers, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from os.path import dirname, join

import msgspec

from pyinit.varlink.faults import InterfaceNotFound, MethodNotFound
from pyinit.varlink.typed import decode_parameters

NAME = "org.varlink.service"
URL = "https://varlink.org/"


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of a method that has none."""


class Info(msgspec.Struct, frozen=True):
    """What GetInfo answers."""

    vendor: str
    product: str
    version: str
    url: str
    interfaces: list[str]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of GetInterfaceDescription."""

    interface: str


class Description(msgspec.Struct, frozen=True):
    """What GetInterfaceDescription answers."""

    description: str


class Service:
    """Introspection of pyinit in `version`.

    `definitions` has the text of each interface under its name; `org.varlink.service` itself
    is added. Everything is read here, once: in PID 1 there is nothing to read later.
    """

    def __init__(self, version: str, definitions: Mapping[str, str]) -> None:
        self._version = version
        self._texts = {NAME: definition(NAME), **definitions}

    def answer(self, method: str, parameters: msgspec.Raw) -> Info | Description:
        """The parameters of the reply to `method`, a full name in `org.varlink.service`.

        Raises ErrorReply: MethodNotFound, InvalidParameter, InterfaceNotFound.
        """
        if method == f"{NAME}.GetInfo":
            decode_parameters(parameters, Nothing)
            return Info("pyinit", "pyinit", self._version, URL, list(self._texts))
        if method == f"{NAME}.GetInterfaceDescription":
            return self._description(decode_parameters(parameters, Wanted).interface)
        raise MethodNotFound(method)

    def _description(self, interface: str) -> Description:
        try:
            return Description(self._texts[interface])
        except KeyError:
            raise InterfaceNotFound(interface) from None


def split_method(method: str) -> tuple[str, str]:
    """The interface and the member of a full method name. Raises InterfaceNotFound."""
    interface, dot, member = method.rpartition(".")
    if not dot or not interface or not member:
        raise InterfaceNotFound(interface)
    return interface, member


def definition(interface: str) -> str:
    """The definition of an interface that pyinit ships. Raises OSError if it ships none."""
    with open(join(dirname(__file__), f"{interface}.varlink"), encoding="utf-8") as file:
        return file.read()
