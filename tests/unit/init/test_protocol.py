"""The interface's definition, the Structs that carry it, and the page made from it agree."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import cast

import msgspec

from pyinit.errors import CommandNotExecutable, CommandNotFound, Unsupported
from pyinit.init import api, faults
from pyinit.init.api import INTERFACE, all_methods
from pyinit.init.container import Container
from pyinit.varlink.idl import ErrorDef, Method, parse
from pyinit.varlink.idl_match import mismatches
from pyinit.varlink.service import definition

ROOT = Path(__file__).resolve().parents[3]


class Nothing(msgspec.Struct):
    """The answer of a method that has none."""


def groups() -> list[ModuleType]:
    return [module for module in vars(api).values() if isinstance(module, ModuleType)]


def reply_of(method: str) -> type[msgspec.Struct]:
    """By its name: the answer to Stats is a StatsReply, in one of the groups' modules."""
    name = {"AttachExec": "AttachReply"}.get(method, f"{method}Reply")
    named = [getattr(module, name, None) for module in groups()]
    return next((found for found in named if found is not None), Nothing)


def test_every_method_of_the_definition_is_there_and_typed_as_it_says() -> None:
    interface = parse(definition(INTERFACE), INTERFACE)
    methods = all_methods(cast("Container", None))
    served = {
        name.removeprefix(f"{INTERFACE}."): method
        for name, method in methods.items()
        if name.startswith(INTERFACE)
    }
    defined = {member.name for member in interface.members if isinstance(member, Method)}
    assert set(served) == defined
    carriers = {name: (method.parameters, reply_of(name)) for name, method in served.items()}
    errors = {member.name for member in interface.members if isinstance(member, ErrorDef)}
    found = mismatches(interface, carriers)
    assert [line for line in found if line.partition(":")[0] not in errors] == []


FAULTS = [
    faults.Missing("exec", "1"),
    CommandNotFound("true", "no such file"),
    CommandNotExecutable("true", "permission denied"),
    faults.InvalidArgument("signal", "no such signal"),
    faults.Taken("exec", "1"),
    OSError(errno.EAGAIN, "try again"),
    faults.ShuttingDown("going down"),
    Unsupported("no cgroup"),
    OSError(errno.EIO, "broken"),
]


def test_every_error_carries_what_the_definition_says() -> None:
    interface = parse(definition(INTERFACE), INTERFACE)
    answers = {answer.error: answer.parameters for answer in map(faults.as_error_reply, FAULTS)}
    for member in interface.members:
        if isinstance(member, ErrorDef):
            fields = {field.name for field in member.parameters.fields}
            assert set(answers.pop(f"{INTERFACE}.{member.name}")) == fields
    assert not answers


def test_the_page_is_written_from_the_definition() -> None:
    command = [sys.executable, ROOT / "tools" / "reference_protocol.py", "--check"]
    assert subprocess.run(command).returncode == 0, "run tools/reference_protocol.py"
