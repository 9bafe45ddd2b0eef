"""nftables as values: expressions, rules and chains, put in place in one transaction each.

Every owner (a bridge, a container with published ports) has a table of its own, so that what
belongs to it goes with one request, exactly, and nothing of anybody else's is ever read.
The expressions are those that `nft --debug=netlink` shows; registers are 32 bits wide from
NFT_REG32_00 on, of which NFT_REG_1 is the first four.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyinit.container.network.netlink import fault
from pyinit.errors import PyinitError, Unsupported

Expression = dict[str, Any]

NFPROTO_INET = 1
NFPROTO_IPV4 = 2
NFPROTO_IPV6 = 10
PROTOCOL_OF = {4: NFPROTO_IPV4, 6: NFPROTO_IPV6}

HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
PRIORITY = {"raw": -300, "dstnat": -100, "filter": 0, "srcnat": 100}

ADDRESS_REGISTER = 1
PORT_REGISTER = 2

# Where the addresses lie in the network header: (source, destination, length).
_ADDRESSES = {4: (12, 16, 4), 6: (8, 24, 16)}
_META = {"nfproto": 15, "l4proto": 16, "iifname": 6, "oifname": 7}
_IPPROTO = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_CMP = {"==": 0, "!=": 1, "<=": 3, ">=": 5}
_CT = {"state": 0, "status": 2}

CT_ESTABLISHED_OR_RELATED = 0b110
CT_STATUS_DNAT = 1 << 5
RTN_LOCAL = 2
NF_DROP = 0

# netlink(7); rules go behind those that are there.
NLM_F_REQUEST, NLM_F_ACK = 0x001, 0x004
NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x200, 0x400, 0x800
NLMSG_ERROR = 2
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11
NETLINK_NETFILTER = 12
SO_SNDBUFFORCE = 32
_HEADER = struct.Struct("=IHHII")

_MISSING = (
    errno.EPROTONOSUPPORT,
    errno.EAFNOSUPPORT,
    errno.EOPNOTSUPP,
    errno.ENOENT,
    errno.EINVAL,
)


class Table:
    """One table of family inet, to be put in place whole: chains on hooks, and their rules."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.chains: dict[str, tuple[str, str]] = {}
        self.rules: list[tuple[str, list[Expression]]] = []

    def rule(self, kind: str, hook: str, priority: str, *expressions: list[Expression]) -> None:
        """Add a rule to the chain on `hook`; `kind` is filter or nat."""
        name = f"{kind}-{hook}"
        self.chains[name] = (hook, priority)
        self.rules.append((name, [one for group in expressions for one in group]))


def put(table: Table) -> None:
    """Put a table in place of whatever table of its name is there, in one transaction.

    Raises Unsupported on a kernel without nftables or NAT, SystemFault.
    """
    with _asking(f"set up the nftables table {table.name}"):
        try:
            _commit(_whole(table, NLM_F_EXCL))
        except FileExistsError:
            # A transaction that deletes waits 10 ms for every CPU, so it is not the first try.
            _commit([_table_message(table.name, delete=True), *_whole(table, 0)])


def remove(name: str) -> None:
    """Remove a table with all that is in it; one that is not there is as good."""
    with contextlib.suppress(Unsupported), _asking(f"remove the nftables table {name}"):
        _commit([_table_message(name, delete=True)])


def names() -> list[str]:
    """The names of all tables of family inet."""
    from pyroute2.nftables.main import NFTables

    with _asking("list the nftables tables"), NFTables(nfgen_family=NFPROTO_INET) as nft:
        return [str(table.get_attr("NFTA_TABLE_NAME")) for table in nft.get_tables()]


def family(version: int) -> list[Expression]:
    """The packet is IPv4 or IPv6."""
    return _meta("nfproto", bytes([PROTOCOL_OF[version]]))


def transport(protocol: str) -> list[Expression]:
    """The packet is TCP or UDP."""
    return _meta("l4proto", bytes([_IPPROTO[protocol]]))


def interface(direction: str, name: str, operator: str = "==") -> list[Expression]:
    """It came in ("iifname") or goes out ("oifname") by an interface."""
    return _meta(direction, name.encode().ljust(16, b"\0"), operator)


def source(network: str) -> list[Expression]:
    """It comes from a network, such as 10.0.0.0/24."""
    return _address(0, network, "==")


def destination(network: str, operator: str = "==") -> list[Expression]:
    """It goes to a network or a single address."""
    return _address(1, network, operator)


def to_this_host() -> list[Expression]:
    """It goes to one of the host's own addresses, whichever these are at that time."""
    kinds = {
        "DREG": 1,
        # pyroute2 takes the result for a set of bits; NFT_FIB_RESULT_ADDRTYPE is 3.
        "RESULT": {"NFT_FIB_RESULT_UNSPEC", "NFT_FIB_RESULT_OIF"},
        "FLAGS": 1 << 1,  # NFTA_FIB_F_DADDR
    }
    return [_expression("fib", **kinds), _compare(struct.pack("=I", RTN_LOCAL))]


def port(first: int, count: int) -> list[Expression]:
    """Its destination port is one of `count` from `first` on."""
    load = _expression("payload", DREG=1, BASE=2, OFFSET=2, LEN=2)
    if count == 1:
        return [load, _compare(struct.pack("!H", first))]
    low, high = struct.pack("!H", first), struct.pack("!H", first + count - 1)
    return [load, _compare(low, ">="), _compare(high, "<=")]


def tracked(key: str, mask: int, *, any_of: bool) -> list[Expression]:
    """Its connection's "state" or "status" has some bit of `mask`, or (any_of=False) none."""
    return [
        _expression("ct", DREG=1, KEY=_CT[key]),
        _and(struct.pack("=I", mask)),
        _compare(bytes(4), "!=" if any_of else "=="),
    ]


def drop() -> list[Expression]:
    """The packet goes nowhere."""
    verdict = {"attrs": [("NFTA_DATA_VERDICT", {"attrs": [("NFTA_VERDICT_CODE", NF_DROP)]})]}
    return [_expression("immediate", DREG=0, DATA=verdict)]


def masquerade() -> list[Expression]:
    """It leaves with the address of the interface it leaves by."""
    return [_expression("masq")]


def translate_to(address: str, to_port: int | None) -> list[Expression]:
    """Its destination becomes `address`, and its port `to_port`, or stays as it was."""
    version = 6 if ":" in address else 4
    how = {"TYPE": 1, "FAMILY": PROTOCOL_OF[version], "REG_ADDR_MIN": ADDRESS_REGISTER}
    load = [_immediate(ADDRESS_REGISTER, _packed(address))]
    if to_port is not None:
        load.append(_immediate(PORT_REGISTER, struct.pack("!H", to_port)))
        how["REG_PROTO_MIN"] = PORT_REGISTER
    return [*load, _expression("nat", **how)]


def _address(which: int, network: str, operator: str) -> list[Expression]:
    text, slash, length = network.partition("/")
    version = 6 if ":" in text else 4
    size = _ADDRESSES[version][2]
    load = _expression(
        "payload", DREG=ADDRESS_REGISTER, BASE=1, OFFSET=_ADDRESSES[version][which], LEN=size
    )
    bits = int(length) if slash else size * 8
    mask = ((1 << bits) - 1 << size * 8 - bits).to_bytes(size, "big")
    return [*family(version), load, _and(mask), _compare(_packed(text), operator)]


def _meta(key: str, value: bytes, operator: str = "==") -> list[Expression]:
    return [_expression("meta", DREG=1, KEY=_META[key]), _compare(value, operator)]


def _compare(value: bytes, operator: str = "==") -> Expression:
    return _expression("cmp", SREG=1, OP=_CMP[operator], DATA=_data(value))


def _and(mask: bytes) -> Expression:
    nothing = _data(bytes(len(mask)))
    return _expression("bitwise", SREG=1, DREG=1, LEN=len(mask), MASK=_data(mask), XOR=nothing)


def _immediate(register: int, value: bytes) -> Expression:
    return _expression("immediate", DREG=register, DATA=_data(value))


def _data(value: bytes) -> Expression:
    return {"attrs": [("NFTA_DATA_VALUE", value)]}


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _expression(kind: str, **attributes: Any) -> Expression:
    prefix = f"NFTA_{kind.upper()}_"
    data = {"attrs": [(prefix + key, value) for key, value in attributes.items()]}
    return {"attrs": [("NFTA_EXPR_NAME", kind), ("NFTA_EXPR_DATA", data)]}


def _whole(table: Table, flags: int) -> list[Any]:
    chains = [_chain_message(table.name, name, *place) for name, place in table.chains.items()]
    rules = [_rule_message(table.name, chain, made_of) for chain, made_of in table.rules]
    return [_table_message(table.name, flags), *chains, *rules]


def _table_message(name: str, flags: int = 0, *, delete: bool = False) -> Any:
    from pyroute2.netlink.nfnetlink import nftsocket as wire

    number = wire.NFT_MSG_DELTABLE if delete else wire.NFT_MSG_NEWTABLE
    return _message(wire.nft_table_msg, number, flags, name=name)


def _chain_message(table: str, name: str, hook: str, priority: str) -> Any:
    from pyroute2.netlink.nfnetlink import nftsocket as wire

    place = [("NFTA_HOOK_HOOKNUM", HOOKS[hook]), ("NFTA_HOOK_PRIORITY", PRIORITY[priority])]
    return _message(
        wire.nft_chain_msg,
        wire.NFT_MSG_NEWCHAIN,
        table=table,
        name=name,
        hook={"attrs": place},
        type=name.partition("-")[0],
    )


def _rule_message(table: str, chain: str, made_of: list[Expression]) -> Any:
    from pyroute2.netlink.nfnetlink import nftsocket as wire

    return _message(
        wire.nft_rule_msg, wire.NFT_MSG_NEWRULE, table=table, chain=chain, expressions=made_of
    )


def _message(kind: Any, number: int, flags: int = 0, **attributes: Any) -> Any:
    from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES

    message = kind()
    message["attrs"] = [[kind.name2nla(key), value] for key, value in attributes.items()]
    message["header"]["type"] = NFNL_SUBSYS_NFTABLES << 8 | number
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND | flags
    message["nfgen_family"] = NFPROTO_INET
    return message


def _commit(messages: list[Any]) -> None:
    """All of them or none, with one answer: the first error, or that the last one went through.

    Not by pyroute2's own batch, which waits for ever when the kernel refuses the whole: the
    answer is then to the first message, and it looks for those to the others. The kernel works
    while we send, so an answer is there afterwards. Raises OSError.
    """
    messages[-1]["header"]["flags"] |= NLM_F_ACK
    batch = [_edge(NFNL_MSG_BATCH_BEGIN), *messages, _edge(NFNL_MSG_BATCH_END)]
    for message in batch:
        message.encode()
    data = b"".join(bytes(message.data) for message in batch)
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER) as netlink:
        if len(data) > netlink.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2:
            netlink.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, len(data) * 2)
        netlink.sendto(data, (0, 0))
        _read_answer(netlink.recv(4096, socket.MSG_DONTWAIT))


def _read_answer(answer: bytes) -> None:
    kind = _HEADER.unpack_from(answer)[1]
    number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
    if kind != NLMSG_ERROR:
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
    if number:
        raise OSError(number, os.strerror(number))


def _edge(number: int) -> Any:
    from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg

    message = nfgen_msg()
    message["res_id"] = NFNL_SUBSYS_NFTABLES
    message["header"]["type"] = number
    message["header"]["flags"] = NLM_F_REQUEST
    return message


@contextmanager
def _asking(doing: str) -> Iterator[None]:
    from pyroute2 import NetlinkError

    try:
        yield
    except NetlinkError as error:
        raise _refused(doing, OSError(error.code, os.strerror(error.code))) from None
    except OSError as error:
        raise _refused(doing, error) from None


def _refused(doing: str, error: OSError) -> PyinitError:
    if error.errno in _MISSING:
        return Unsupported(
            f"{doing}: this kernel has no nftables with NAT ({error.strerror});"
            " use --net bridge,nat=no, none or host, or load nf_tables and nft_chain_nat"
        )
    return fault(doing, error)
