"""One call on a control socket, spoken by hand."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

LIMIT_S = 60


def call(path: Path, method: str, **parameters: object) -> dict[str, Any]:
    """The answer's parameters; an error of the protocol fails the test."""
    message = json.dumps({"method": f"io.pyinit.Control.{method}", "parameters": parameters})
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT_S)
        client.connect(str(path))
        client.sendall(message.encode() + b"\0")
        answer = b""
        while not answer.endswith(b"\0"):
            data = client.recv(65536)
            assert data, "the connection ended early"
            answer += data
    reply = json.loads(answer[:-1])
    assert "error" not in reply, reply
    return dict(reply["parameters"])


def run_output(path: Path, *argv: str) -> str:
    """What a command prints that is run in the container, and has to succeed."""
    reply = call(path, "Run", command={"argv": argv})
    assert reply["status"] == {"code": 0}, reply
    return str(reply["stdout"])


def answers(path: Path) -> bool:
    """Whether an init serves the socket by now."""
    try:
        return bool(call(path, "Describe"))
    except OSError:
        return False
