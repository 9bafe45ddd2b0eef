"""Tables come whole and go whole, and nobody else's is touched."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

import pytest
from pyroute2.nftables.main import NFTables

from pyinit.container.network import nft
from pyinit.errors import Unsupported
from tests.support import netns

pytestmark = pytest.mark.root


def table(name: str, *ports: int) -> nft.Table:
    made = nft.Table(name)
    for port in ports:
        to = nft.translate_to("10.0.0.2", None)
        match = [*nft.family(4), *nft.transport("tcp"), *nft.port(port, 1)]
        made.rule("nat", "output", "dstnat", match, to)
    return made


def rules_of(name: str) -> int:
    with NFTables(nfgen_family=1) as wire:
        return sum(rule.get_attr("NFTA_RULE_TABLE") == name for rule in wire.get_rules())


def test_a_table_takes_the_place_of_its_namesake() -> None:
    def body() -> None:
        nft.put(table("other", 1))
        nft.put(table("mine", 80, 81, 82))
        assert rules_of("mine") == 3
        nft.put(table("mine", 80))
        assert rules_of("mine") == 1
        nft.remove("mine")
        nft.remove("mine")
        assert nft.names() == ["other"]
        assert rules_of("other") == 1

    netns.run_in_new_host(body)


def test_a_table_comes_whole_or_not_at_all() -> None:
    def body() -> None:
        broken = table("mine", 80)
        broken.rules.append(("no-such-chain", nft.drop()))
        with pytest.raises(Unsupported):
            nft.put(broken)
        assert nft.names() == []

    netns.run_in_new_host(body)


@pytest.mark.parametrize("number", [errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.ENOENT])
def test_no_nftables_names_the_way_round(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(nft.socket, "socket", refuse)
    with pytest.raises(Unsupported, match="use --net bridge,nat=no"):
        nft.put(table("mine", 80))
    nft.remove("mine")


@pytest.mark.parametrize("act", [lambda: nft.put(table("mine", 80)), nft.names])
def test_without_privilege_it_says_so(act: Callable[[], object]) -> None:
    def body() -> None:
        ctypes.CDLL(None).setuid(65534)
        with pytest.raises(Unsupported, match="needs root on the host"):
            act()

    netns.run_in_new_host(body)


def test_a_thousand_rules_go_in_one_transaction() -> None:
    def body() -> None:
        nft.put(table("mine", *range(1, 1001)))
        assert rules_of("mine") == 1000

    netns.run_in_new_host(body)
