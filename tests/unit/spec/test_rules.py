from __future__ import annotations

from typing import Any

import pytest

from pyinit.spec.addresses import check_address, listen_address, url_address
from pyinit.spec.faults import SpecError, dotted
from pyinit.spec.privileges import Privileges, Rlimit
from pyinit.spec.rules import find_faults, require_valid
from pyinit.spec.service import (
    Backoff,
    Check,
    HttpCheck,
    LogOptions,
    ServiceSpec,
    SocketSpec,
)


def messages(**fields: Any) -> str:
    spec = ServiceSpec(**{"command": ("x",), **fields})
    return "\n".join(str(fault) for fault in find_faults({"a": spec}))


def check(**fields: Any) -> dict[str, Check]:
    return {"c": Check(**fields)}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"command": ()}, "empty"),
        ({"command": ("",)}, "empty"),
        ({"command": ("a\0",)}, "NUL"),
        ({"stop_command": ("a\0",)}, "services.a.stop-command"),
        ({"env": {"A=B": "1"}}, "can't be set"),
        ({"env": {"A": "\0"}}, "can't be set"),
        ({"cwd": "here"}, "absolute"),
        ({"umask": 0o1000}, "0000 to 0777"),
        ({"cap_add": ("net admin",)}, "no such capability"),
        ({"cap_add": ("NET_ADMIN",), "cap_drop": ("cap_net_admin",)}, "as well"),
        ({"notify_fd": 3}, "needs type"),
        ({"notify_fd": 2, "type": "notify"}, "3 to 1023"),
        ({"notify_fd": 3, "type": "notify", "sockets": (SocketSpec(listen="tcp:0.0.0.0:1"),)}, "4"),
        ({"notify_fd": 3, "type": "notify", "watchdog": 1.0}, "takes its place"),
        ({"watchdog": 1.0, "type": "oneshot"}, "oneshot"),
        ({"checks": check(tcp="1"), "type": "oneshot"}, "oneshot"),
        ({"restart": "always", "type": "oneshot"}, "for ever"),
        ({"essential": True, "on_failure": "ignore"}, "contradicts"),
        ({"essential": True, "restart": "always"}, "`essential` would never"),
        ({"on_failure": "shutdown", "restart": "on-failure"}, "`on-failure` would never"),
        ({"on_success": "shutdown", "restart": "always"}, "`on-success` would never"),
        ({"stop_signal": 65}, "1 to 64"),
        ({"backoff": Backoff(factor=0.5)}, "factor"),
        ({"backoff": Backoff(jitter=2)}, "jitter"),
        ({"backoff": Backoff(initial=2, limit=1)}, "below"),
        ({"backoff": Backoff(attempts=-1)}, "attempts"),
        ({"backoff": Backoff(initial=-1)}, "negative"),
        ({"stop_timeout": -1.0}, "negative"),
        ({"checks": {"a b": Check(tcp="1")}}, "bad name"),
        ({"checks": check()}, "exactly one"),
        ({"checks": check(tcp="x")}, "HOST:PORT"),
        ({"checks": check(http=HttpCheck(url="https://x"))}, "http://"),
        ({"checks": check(http=HttpCheck(url="http://[::1]/", headers={"A": "b\r\n"}))}, "break"),
        ({"checks": check(tcp="1", period=0)}, "more than 0"),
        ({"checks": check(tcp="1", threshold=0)}, "at least 1"),
        ({"sockets": (SocketSpec(listen="tcp:0.0.0.0:1"),) * 65}, "at most 64"),
        ({"sockets": (SocketSpec(listen="tcp:0.0.0.0:1"),) * 2}, "twice"),
        ({"sockets": (SocketSpec(listen="tcp:0.0.0.0:1", name="a:b"),)}, "colon"),
        ({"sockets": (SocketSpec(listen="tcp:0.0.0.0:1", backlog=0),)}, "at least 1"),
        ({"sockets": (SocketSpec(listen="tcp:0.0.0.0:1", mode=0o1777),)}, "0777"),
        ({"log": LogOptions(max_size=1)}, "4096"),
        ({"log": LogOptions(max_files=0)}, "1 to 1000"),
    ],
)
def test_what_can_not_be_together(fields: dict[str, Any], message: str) -> None:
    assert message in messages(**fields)


def test_sockets_of_all_kinds_are_fine() -> None:
    listen = ("tcp:0.0.0.0:1", "udp:[::]:1", "unix:/x")
    assert not messages(sockets=tuple(SocketSpec(listen=one) for one in listen))
    assert not messages(checks=check(http=HttpCheck(url="http://[::1]/", headers={"A": "b"})))


def test_a_plain_service_is_fine() -> None:
    services = {"a": ServiceSpec(command=("x",))}
    assert require_valid(services) is services


def test_an_essential_service_may_restart_a_number_of_times() -> None:
    assert not messages(essential=True, restart="on-failure", backoff=Backoff(attempts=3))


def test_a_service_changes_what_the_container_grants() -> None:
    spec = ServiceSpec(
        command=("x",),
        cap_add=("net_admin",),
        cap_drop=("CHOWN",),
        rlimits={"nofile": (1, 2)},
        umask=0o77,
    )
    container = Privileges()
    changed = spec.privileges(container)
    assert set(changed.capabilities) ^ set(container.capabilities) == {"CAP_NET_ADMIN", "CAP_CHOWN"}
    assert (changed.rlimits, changed.umask) == ((Rlimit("nofile", 1, 2),), 0o77)
    assert changed.no_new_privs
    assert (
        not ServiceSpec(command=("x",), no_new_privileges=False).privileges(container).no_new_privs
    )


def test_faults_without_a_file_name_the_path() -> None:
    with pytest.raises(SpecError, match=r"^services\.a b: bad name"):
        require_valid({"a b": ServiceSpec(command=("x",))})
    assert dotted(("a", 1, "b")) == "a[1].b"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tcp:127.0.0.1:80", ("127.0.0.1", 80)),
        ("udp:[::1]:53", ("::1", 53)),
        ("tcp:localhost:1", ("127.0.0.1", 1)),
        ("unix:/run/x", "/run/x"),
        ("unix-dgram:/x", "/x"),
    ],
)
def test_addresses_to_listen_on(text: str, name: object) -> None:
    assert listen_address(text).name == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80",
        "tcp:80",
        "tcp:a.b:80",
        "tcp:1.2.3.4:0",
        "tcp:1.2.3.4:99999",
        "unix:x",
        "ftp:/x",
        "unix:/" + "x" * 107,
        "unix:/a\0",
    ],
)
def test_bad_addresses_to_listen_on(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|at most"):
        listen_address(text)


def test_addresses_of_checks() -> None:
    assert check_address("80").name == ("127.0.0.1", 80)
    assert check_address("[::1]:80").name == ("::1", 80)
    assert url_address("http://localhost/a?b").target == "/a?b"
    assert url_address("http://127.0.0.1:81").address.name == ("127.0.0.1", 81)
    assert url_address("http://[::1]").address.name == ("::1", 80)
    assert url_address("http://[::1]:8/").host == "[::1]:8"


@pytest.mark.parametrize("text", ["x", "http://a b/", "http://1.2.3.4/ä", "http:///x"])
def test_bad_urls(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|URL"):
        url_address(text)


def test_the_package_hands_out_its_names_on_first_use() -> None:
    import pyinit.spec

    for name in pyinit.spec.__all__:
        assert getattr(pyinit.spec, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        pyinit.spec.nothing  # noqa: B018


def test_the_name_of_inits_own_log_is_taken() -> None:
    faults = [str(fault) for fault in find_faults({"init": ServiceSpec(command=("x",))})]
    assert len(faults) == 1
    assert "can't be called init" in faults[0]
