"""lo comes up in a fresh network namespace, and a name that is not there says so."""

from __future__ import annotations

import socket

import pytest

from pyinit.linux import netdev
from pyinit.linux.netns import call_in_netns
from tests.support import netns


@pytest.mark.root
def test_loopback_answers_once_up() -> None:
    def body() -> None:
        netdev.loopback_up()
        assert netdev.is_up("lo")
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()

    netns.run_in_new_host(body)


def test_an_interface_that_is_not_there_is_named() -> None:
    with pytest.raises(OSError, match="no-such-one") as caught:
        netdev.is_up("no-such-one")
    assert caught.value.filename == "no-such-one"


@pytest.mark.root
def test_a_call_in_another_namespace_leaves_the_caller_where_it_is() -> None:
    def body() -> None:
        elsewhere = netns.new_netns()
        with socket.create_server(("127.0.0.1", 7777)):
            with pytest.raises(ConnectionRefusedError):
                call_in_netns(elsewhere, lambda: netns.ask_tcp("127.0.0.1", 7777))
            socket.create_connection(("127.0.0.1", 7777), timeout=5).close()

    netns.run_in_new_host(body)


def test_a_descriptor_that_is_no_namespace_is_refused() -> None:
    with open("/dev/null", "rb") as null, pytest.raises(OSError, match="network namespace"):
        call_in_netns(null.fileno(), lambda: None)
