"""The control socket by other people's Varlink: the command line of the `varlink` package."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import pytest

from tests.support.containers import Host

pytestmark = pytest.mark.root


def varlink(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "varlink.cli", *words], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def address(host: Host) -> str:
    name = host.run("--", "sleep", "1000")
    return f"unix:{host.run_dir / name / 'control.sock'}"


def test_introspection(address: str) -> None:
    assert "io.pyinit.Control" in varlink("info", address)
    assert "method Exec(" in varlink("help", f"{address}/io.pyinit.Control")


def test_describe_and_stats(address: str) -> None:
    answer = json.loads(varlink("call", f"{address}/io.pyinit.Control.Describe"))
    assert answer["container"]["state"] == "running"
    answer = json.loads(varlink("call", f"{address}/io.pyinit.Control.Stats"))
    assert answer["stats"]["processes"] == 2


def test_a_command_whose_output_comes_back(address: str) -> None:
    call = json.dumps({"command": {"argv": ["sh", "-c", "cat; exit 4"]}, "input": "hä"})
    answer = json.loads(varlink("call", f"{address}/io.pyinit.Control.Run", call))
    assert answer["status"]["code"] == 4
    assert (answer["stdout"], answer["encoding"]) == ("hä", "utf-8")
    call = json.dumps({"command": {"argv": ["printf", "\\377"]}})
    answer = json.loads(varlink("call", f"{address}/io.pyinit.Control.Run", call))
    assert base64.b64decode(answer["stdout"]) == b"\xff"
