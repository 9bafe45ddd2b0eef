"""What a container's spec takes, and how it refuses the rest."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pyinit.errors import UsageError
from pyinit.spec.container import ContainerSpec, HostDevice, Tmpfs, Volume, from_json
from pyinit.spec.network import BridgeNetwork, Publish
from pyinit.spec.service import ServiceSpec

PORT = Publish(host_port=8080, container_port=80)

GOOD: list[dict[str, Any]] = [
    {"hostname": "a-b.example", "workdir": "/srv", "environment": {"A": "", "b": "=x"}},
    {"namespaces": {"ipc": "host", "uts": "container:other", "pid": "/run/ns", "time": "private"}},
    {"namespaces": {"user": "auto"}},
    {"namespaces": {"user": "keep-id"}},
    {"namespaces": {"user": "0:1000:1"}},
    {"pins": ("net", "ipc")},
    {"time_offsets": {"monotonic": 5, "boottime": -5}},
    {"network": BridgeNetwork(), "publish": (PORT,)},
    {"services": {"web": ServiceSpec(command=("httpd",))}},
]

BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "bad container name"),
    ({"name": "a/b"}, "bad container name"),
    ({"name": "-a"}, "bad container name"),
    ({"name": "a\n"}, "bad container name"),
    ({"name": "é"}, "bad container name"),
    ({"name": "x" * 64}, "bad container name"),
    ({"services": {"web": ServiceSpec(command=())}}, "command"),
    ({"name": "locks"}, "bad container name"),
    ({"hostname": "-a"}, "bad host name"),
    ({"workdir": "srv"}, "bad workdir"),
    ({"environment": {"": "x"}}, "bad environment name"),
    ({"environment": {"A=B": "x"}}, "bad environment name"),
    ({"environment": {"A": "x\0"}}, "bad environment value"),
    ({"namespaces": {"mnt": "host"}}, "bad namespace"),
    ({"namespaces": {"ipc": "mine"}}, "bad ipc namespace"),
    ({"namespaces": {"user": "own"}}, "give host"),
    ({"pins": ("pid",)}, "bad --pin"),
    ({"pins": ("net",), "remove": True}, "exclude each other"),
    ({"time_offsets": {"realtime": 1}}, "bad time offset"),
    ({"time_offsets": {"monotonic": 1 << 62}}, "at the most"),
    ({"time_offsets": {"monotonic": 1}, "namespaces": {"time": "host"}}, "of its own"),
    ({"publish": (PORT,)}, "add --net bridge"),
]


@pytest.mark.parametrize("fields", GOOD)
def test_good(fields: dict[str, Any]) -> None:
    spec = ContainerSpec(name="name", **fields)
    assert from_json(msgspec.json.encode(spec)) == spec


@pytest.mark.parametrize(("fields", "said"), BAD)
def test_bad(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ContainerSpec(**{"name": "name", **fields})


@pytest.mark.parametrize("target", ["data", "/", "/proc", "/sys/", "/dev", "/a\0b"])
def test_targets_that_can_not_be_mounted_on(target: str) -> None:
    with pytest.raises(UsageError, match=r"mount target|volume path"):
        Volume(source="/srv", target=target)
    with pytest.raises(UsageError, match="mount target"):
        Tmpfs(target=target)


def test_sources_are_absolute() -> None:
    with pytest.raises(UsageError, match="bad volume path"):
        Volume(source="srv", target="/data")


@pytest.mark.parametrize("source", ["zero", "/dev/\0zero"])
def test_a_device_has_a_whole_path(source: str) -> None:
    with pytest.raises(UsageError, match="bad device"):
        HostDevice(source=source, target="/dev/zero")


def test_json_names_what_is_wrong_with_it() -> None:
    with pytest.raises(UsageError, match="memory_limit"):
        from_json(b'{"name": "x", "memory_limit": 3}')
    with pytest.raises(UsageError, match="bad container spec"):
        from_json(b"{")
