"""The reference page names every key, and its example is one."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from pyinit.spec.difference import _TAKEN_WHILE_RUNNING
from pyinit.spec.limits import Limits
from pyinit.spec.order import plan
from pyinit.spec.service import (
    Backoff,
    Check,
    HttpCheck,
    LogOptions,
    ServiceSpec,
    SocketSpec,
)
from pyinit.spec.services_file import Layer, read_layers

PAGE = (Path(__file__).resolve().parents[3] / "docs/reference/services.md").read_text()
PARTS = [Backoff, Check, HttpCheck, Limits, LogOptions, ServiceSpec, SocketSpec]
# An array of tables that only cgroup v2 and blkio of v1 know; not for services' files.
UNNAMED = {"io"}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: str(part.__name__))
def test_every_key_is_on_the_page(part: type[msgspec.Struct]) -> None:
    keys = {field.encode_name.replace("_", "-") for field in msgspec.structs.fields(part)}
    assert keys - UNNAMED <= set(re.findall(r"`([a-z-]+)`", PAGE))


def test_the_example_is_valid() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    services = read_layers([Layer("services.md", example)])
    assert plan(services) == [("database",), ("migrate",), ("web",)]


def test_what_a_reload_takes_over_is_on_the_page() -> None:
    listed = PAGE.partition("taken over without a restart:")[2]
    assert set(re.findall(r"`([a-z-]+)`", listed)) == _TAKEN_WHILE_RUNNING
