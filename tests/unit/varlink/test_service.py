from __future__ import annotations

import msgspec
import pytest

from pyinit.varlink import faults, idl
from pyinit.varlink.envelope import ErrorReply
from pyinit.varlink.service import NAME, Description, Info, Service, definition, split_method

OURS = "io.pyinit.Control"


def ask(method: str, parameters: bytes = b"{}") -> Info | Description:
    return Service("1.2", {OURS: definition(OURS)}).answer(method, msgspec.Raw(parameters))


def test_get_info() -> None:
    info = ask(f"{NAME}.GetInfo")
    assert isinstance(info, Info)
    assert (info.vendor, info.product, info.version) == ("pyinit", "pyinit", "1.2")
    assert info.interfaces == [NAME, OURS]


@pytest.mark.parametrize("name", [NAME, OURS])
def test_get_interface_description(name: str) -> None:
    got = ask(f"{NAME}.GetInterfaceDescription", msgspec.json.encode({"interface": name}))
    assert got == Description(definition(name))


@pytest.mark.parametrize(
    ("method", "parameters", "error"),
    [
        ("GetInfo", b'{"x":1}', "InvalidParameter"),
        ("GetInterfaceDescription", b"{}", "InvalidParameter"),
        ("GetInterfaceDescription", b'{"interface":"a.b"}', "InterfaceNotFound"),
        ("GetInterfaceDescription", b'{"interface":"../service"}', "InterfaceNotFound"),
        ("Other", b"{}", "MethodNotFound"),
    ],
)
def test_errors(method: str, parameters: bytes, error: str) -> None:
    with pytest.raises(ErrorReply) as caught:
        ask(f"{NAME}.{method}", parameters)
    assert caught.value.error == f"{NAME}.{error}"


def test_the_shared_errors_are_those_of_the_definition() -> None:
    raised: list[ErrorReply] = [
        faults.InterfaceNotFound("a.b"),
        faults.MethodNotFound("a.b.C"),
        faults.MethodNotImplemented("a.b.C"),
        faults.InvalidParameter("x"),
        faults.PermissionDenied(),
        faults.ExpectedMore("a.b.C"),
    ]
    defined = idl.parse(definition(NAME)).errors
    assert {error.error: set(error.parameters) for error in raised} == {
        f"{NAME}.{name}": {field.name for field in error.parameters.fields}
        for name, error in defined.items()
    }
    assert all(str(error) for error in raised)


def test_a_method_name_is_split_at_its_last_dot() -> None:
    assert split_method("org.example.Thing.Do") == ("org.example.Thing", "Do")
    for bad in ("Do", ".Do", "org.example."):
        with pytest.raises(faults.InterfaceNotFound):
            split_method(bad)
