"""The client of the `varlink` package, against a server of a few lines on this codec."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import varlink
from varlink import scanner

from pyinit.varlink import typed
from pyinit.varlink.connection import Server
from pyinit.varlink.envelope import Call, ErrorReply
from pyinit.varlink.faults import ExpectedMore, MethodNotFound
from pyinit.varlink.idl import Member, Method, parse
from pyinit.varlink.scm import close_all, recv, send
from pyinit.varlink.service import NAME, Service, definition, split_method

OURS = "org.example.Toy"
TOY = """\
# A toy.
interface org.example.Toy

type Colour (red, green)
# What was used.
type Usage (time: float, colour: ?Colour, tags: [string]string, of: ?[]Part)
type Part (name: string)

# Usage, again and again.
method Stats() -> (stats: Usage)
method Shutdown(timeout: ?float) -> ()

# Too much.
error Exhausted (doing: string, errno: int)
error Down ()
"""


@pytest.mark.parametrize("text", [TOY, definition(NAME)], ids=[OURS, NAME])
def test_it_reads_definitions_as_we_do(text: str) -> None:
    theirs = scanner.Interface(text)
    ours = parse(text)
    assert theirs.name == ours.name
    assert list(theirs.members) == [member.name for member in ours.members]
    for member in ours.members:
        assert fields(theirs.members[member.name]) == our_fields(member)


def fields(member: Any) -> list[list[str]]:
    if isinstance(member, scanner._Method):
        return [list(member.in_type.fields), list(member.out_type.fields)]
    return [list(member.type.fields)]


def our_fields(member: Member) -> list[list[str]]:
    if isinstance(member, Method):
        return [[f.name for f in r.fields] for r in (member.parameters, member.result)]
    kind = member.type if hasattr(member, "type") else member.parameters
    return [list(kind.values) if hasattr(kind, "values") else [f.name for f in kind.fields]]


class Toy:
    """Answers Shutdown and, as a stream, Stats; one connection after the other, blocking."""

    def __init__(self, path: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.service = Service("1", {OURS: TOY})
        self.seen: list[Call] = []

    def run(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock, suppress(ConnectionError):  # this client may close with bytes unread
                self.serve(sock)

    def serve(self, sock: socket.socket) -> None:
        connection = Server(typed)
        while not connection.ended:
            data, fds = recv(sock, 65536)
            connection.feed(data, fds)
            while (call := connection.next_call()) is not None:
                self.seen.append(call)
                close_all(call.fds)
                self.answer(sock, connection, call)

    def answer(self, sock: socket.socket, connection: Server, call: Call) -> None:
        if call.oneway:
            connection.done()
            return
        try:
            interface, member = split_method(call.method)
            if interface == NAME:
                send(sock, connection.reply(self.service.answer(call.method, call.parameters)))
            elif member == "Stats":
                self.stream(sock, connection, call)
            elif member == "Shutdown":
                send(sock, connection.reply())
            else:
                raise MethodNotFound(call.method)
        except ErrorReply as error:
            send(sock, connection.error(error.error, error.parameters))

    def stream(self, sock: socket.socket, connection: Server, call: Call) -> None:
        if not call.more:
            raise ExpectedMore(call.method)
        for time in (1.0, 2.0):
            send(sock, connection.reply({"stats": {"time": time, "tags": {}}}, continues=True))
        send(sock, connection.reply({"stats": {"time": 3.0, "colour": None, "tags": {}}}))


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[tuple[Toy, str]]:
    path = os.path.relpath(tmp_path / "s")  # a socket's path is short: 108 bytes
    server = Toy(path)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server, f"unix:{path}"
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()
    thread.join(10)
    assert not thread.is_alive()


def test_it_can_introspect(toy: tuple[Toy, str]) -> None:
    with varlink.Client(toy[1]) as client:
        assert set(client.get_interfaces()) == {NAME, OURS}
        assert client.info["product"] == "pyinit"
        described = client.get_interface(OURS).get_description()
    assert described == TOY


def test_it_can_call_stream_and_fail(toy: tuple[Toy, str]) -> None:
    with varlink.Client(toy[1]) as client, client.open(OURS) as connection:
        assert connection.Shutdown(timeout=1.5) == {}
        times = [reply["stats"]["time"] for reply in connection.Stats(_more=True)]
        assert times == [1.0, 2.0, 3.0]
        with pytest.raises(varlink.VarlinkError) as caught:
            connection.Stats()
        assert caught.value.error() == f"{NAME}.ExpectedMore"
        connection.Shutdown(_oneway=True)
        assert connection.Shutdown() == {}
    shutdowns = [call for call in toy[0].seen if call.method == f"{OURS}.Shutdown"]
    assert [bytes(call.parameters) for call in shutdowns] == [b'{"timeout": 1.5}', b"{}", b"{}"]
    assert [call.oneway for call in shutdowns] == [False, True, False]


def command_line(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "varlink.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_its_command_line(toy: tuple[Toy, str]) -> None:
    server, address = toy
    assert f"  {OURS}" in command_line("info", address).stdout
    assert "method Shutdown" in command_line("help", f"{address}/{OURS}").stdout
    streamed = command_line("call", "-m", f"{address}/{OURS}.Stats").stdout
    assert json.loads(streamed.split("}\n{")[0] + "}") == {"stats": {"time": 1.0, "tags": {}}}
    refused = command_line("call", f"{address}/{OURS}.Nothing")
    assert "MethodNotFound" in refused.stderr
    assert server.seen
