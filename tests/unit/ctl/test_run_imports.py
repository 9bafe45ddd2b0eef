"""What `run` has loaded when it launches: the command waits for each of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ctl import environment

# As scripts/pyinit-ctl starts it; ends where the container would be made, which takes root.
LIST_MODULES = """
import sys
sys.path += sys.argv.pop(1).split(":")
import builtins
load = builtins.__import__

def tell(spec, **_):
    from pyinit.container.launch import compile_filter
    compile_filter(spec.privileges)
    print(*sys.modules, flush=True)
    raise SystemExit

def load_and_watch(name, *rest, **more):
    module = load(name, *rest, **more)
    if name.startswith("pyinit_ctl.run_") and hasattr(sys.modules[name], "launch"):
        sys.modules[name].launch = tell
    return module

builtins.__import__ = load_and_watch
from pyinit_ctl.__main__ import main
main()
"""

LIBRARIES = {"attr", "click", "pyroute2", "pyseccomp", "rich", "structlog", "trio"}
# Each takes longer than what it would be used for, or draws such a one in.
STANDARD = (
    {"argparse", "ast", "asyncio", "copy", "dataclasses", "datetime", "difflib", "dis", "hashlib"}
    | {"importlib.resources", "inspect", "ipaddress", "json", "logging", "platform", "random"}
    | {"secrets", "selectors", "shutil", "signal", "socket", "subprocess", "tempfile", "textwrap"}
    | {"tokenize", "tomllib", "typing_extensions", "urllib.parse", "zipfile"}
)
OURS = {
    "pyinit.container.network.interfaces",
    "pyinit.container.seccomp_build",
    "pyinit.container.seccomp_profile",
    "pyinit.init.main",
    "pyinit.spec.network_options",
    "pyinit.spec.rules",
    "pyinit.spec.services_file",
    "pyinit.varlink.connection",
    "pyinit_ctl.cli",
    "pyinit_ctl.click_verb",
    "pyinit_ctl.exec_fast",
    "pyinit_ctl.wire",
}
TERMINAL = {"termios", "pyinit_ctl.terminal"}


def loaded(run_dir: Path, *options: str) -> set[str]:
    path = environment(run_dir)["PYTHONPATH"]
    packages = ":".join(each for each in sys.path if each.endswith("-packages"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LIST_MODULES, f"{packages}:{path}", "run", *options],
        env=environment(run_dir),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert not done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ((), set()),
        (("-d", "--rm", "-e", "A=b", "-m", "64m", "-v", "/:/x", "--cap-add", "CHOWN"), set()),
        (("-it",), TERMINAL),
    ],
    ids=["attached", "detached", "terminal"],
)
def test_run_loads_what_its_container_needs(
    run_dir: Path, options: tuple[str, ...], more: set[str]
) -> None:
    pytest.importorskip("pyseccomp", reason="needs libseccomp2", exc_type=RuntimeError)
    loaded(run_dir)  # so that the filter is compiled and kept
    found = loaded(run_dir, *options, "--", "true")
    assert "pyinit.container.launch" in found
    assert not found & (LIBRARIES | STANDARD | OURS | (TERMINAL - more))
