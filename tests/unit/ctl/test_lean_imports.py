"""msgspec and pathlib are whole once what was left out of them is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ctl import environment

CHECK = """
import sys
sys.path[:0] = sys.argv.pop(1).split(":")
from pyinit_ctl import lean
if sys.argv[1:]:
    whole = lean._for_msgspec
    lean._for_msgspec = lambda: {**whole(), sys.argv[1]: type(sys)(sys.argv[1])}
lean.load()
import msgspec
loaded = [*sys.modules]
class S(msgspec.Struct):
    a: int = 0
    b: tuple[str, ...] = ()
assert msgspec.json.decode(b'{"a": 1}', type=S) == S(1)
assert msgspec.structs.replace(S(1), a=2) == msgspec.convert({"a": 2}, S)
from msgspec import inspect, msgpack, toml, yaml
assert inspect.type_info(S).fields[0].name == "a"
assert msgpack.decode(msgpack.encode(S(3)), type=S) == S(3)
assert toml.decode(b"a = 4", type=S) == S(4)
import datetime, pathlib, platform, uuid, typing_extensions
assert platform.machine()
assert pathlib.Path("/a b").as_uri() == "file:///a%20b"
assert msgspec.json.decode(b'"2020-02-03"', type=datetime.date) == datetime.date(2020, 2, 3)
assert str(msgspec.json.decode(msgspec.json.encode(uuid.uuid4()), type=uuid.UUID))
print(*loaded)
"""


@pytest.mark.parametrize("needed", [(), ("msgspec._utils",), ("decimal",)])
def test_what_is_left_out_can_be_had(run_dir: Path, needed: tuple[str, ...]) -> None:
    pytest.importorskip("typing_extensions")
    done = subprocess.run(
        # Without site, whose folders may have loaded some of it already.
        [sys.executable, "-S", "-c", CHECK, ":".join(sys.path), *needed],
        env=environment(run_dir),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    unwanted = {"typing_extensions", "platform", "inspect", "msgspec.inspect", "textwrap"}
    unwanted |= {"datetime", "urllib", "urllib.parse", "ipaddress"}
    assert bool(unwanted & {*done.stdout.split()}) == bool(needed)
