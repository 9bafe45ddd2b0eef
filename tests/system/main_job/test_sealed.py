"""After the pivot nothing is imported or loaded, whatever the root holds."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest

import pyinit.init.main
from pyinit.container import clearing
from pyinit.container.launch import launch
from pyinit.errors import PyinitError
from pyinit.init.config import InitConfig
from pyinit.spec.container import ContainerSpec, Root
from pyinit_ctl.blocking import BlockingClient
from tests.support.containers import Host
from tests.support.roots import busybox_root, copy

pytestmark = [pytest.mark.root, pytest.mark.package("busybox-static")]

EVERY_CALL = [
    ("Describe", {}),
    ("Run", {"command": {"argv": ["/bin/id"], "user": "nobody"}}),
    ("Run", {"command": {"argv": ["nonesuch"]}}),
    ("Run", {"command": {"argv": ["/bin/sleep", "10"], "timeout": 0.05, "grace": 0.05}}),
    ("ListExecs", {}),
    ("WaitExec", {"id": "1"}),
    ("SignalExec", {"id": "nonesuch", "signal": "TERM"}),
    ("SignalExec", {"id": "1", "signal": "TERM", "all": True}),
    ("ListProcesses", {}),
    ("SignalProcess", {"pid": 999999, "signal": "HUP"}),
    ("Stats", {}),
    ("Kill", {"signal": "WINCH"}),
    ("Exec", {"command": {"argv": ["/bin/true"]}}),
    ("Exec", {"command": {"argv": ["/bin/true"]}, "terminal": {"rows": 1, "columns": 1}}),
    ("Exec", {"command": {"argv": ["/bin/true"]}, "stdout": 3}),
    ("Logs", {}),
    ("Logs", {"services": ["main"], "lines": 3}),
    ("Events", {"after": 2}),
    ("Events", {"after": -1}),
    ("Nope", {}),
    ("org.varlink.service.GetInfo", {}),
    ("org.varlink.service.GetInterfaceDescription", {"interface": "io.pyinit.Control"}),
    ("Describe", {"unknown": 1}),
]


@pytest.mark.usefixtures("leaves_nothing")
def test_no_module_is_loaded_after_the_pivot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PID 1 itself lists what it has loaded, before and after a session of every call."""
    monkeypatch.setenv("PYINIT_RUN_DIR", str(tmp_path / "run"))
    run = pyinit.init.main.run

    def run_and_tell(config: InitConfig) -> int:
        before = set(sys.modules)
        code = run(config)
        os.write(config.log or 2, f"grown: {sorted(set(sys.modules) - before)}\n".encode())
        return code

    monkeypatch.setattr(pyinit.init.main, "run", run_and_tell)
    spec = ContainerSpec(name="sealed", root=Root(directory=str(busybox_root())))
    container = launch(spec)
    for method, parameters in EVERY_CALL:
        call(str(container.control), method, parameters)
    with BlockingClient(str(container.control)) as client:
        client.call("Shutdown", timeout=1)
    os.waitid(os.P_PIDFD, container.pidfd, os.WEXITED)
    log = (container.folder / "logs" / "init.log").read_text()
    container.close()
    clearing.remove(container.folder)
    assert "grown: []" in log.splitlines(), log
    assert "could not" not in log
    assert "failed" not in log


def call(path: str, method: str, parameters: dict[str, object]) -> None:
    """One call, whatever comes of it."""
    with contextlib.suppress(PyinitError), BlockingClient(path) as client:
        client.call(method, **parameters)


def test_a_root_with_nothing_but_busybox(host: Host) -> None:
    name = host.run("--root", str(busybox_root()), "--", "sleep", "1000")
    assert host.inside(name, "echo", "hello") == "hello\n"
    assert host.inside(name, "id", "-u") == "0\n"
    assert any(each["name"] == "sleep" for each in host.json("ps", "--json", name))
    host.ok("stats", name)
    host.ok("stop", name)


@pytest.fixture
def hostile_root(tmp_path: Path) -> Path:
    """A root that puts traps where an interpreter or libc would look for code."""
    root = tmp_path / "hostile"
    root.mkdir()
    copy(busybox_root(), root)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    trap = "import os\nos.mkdir('/trapped')\n"
    for base in {sys.prefix, sys.base_prefix, "/usr", "/usr/local"}:
        library = root / base.lstrip("/") / "lib" / version
        (library / "encodings").mkdir(parents=True)
        (library / "site-packages").mkdir()
        for name in ("encodings/__init__.py", "encodings/cp437.py", "fcntl.py", "_strptime.py",
                     "stringprep.py", "pwd.py", "grp.py", "linecache.py", "traceback.py",
                     "site-packages/trio.py"):  # fmt: skip
            (library / name).write_text(trap)
    for folder in ("lib", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64"):
        place = root / folder
        place.mkdir(parents=True, exist_ok=True)
        for name in ("libnss_files.so.2", "libnss_evil.so.2", "libpthread.so.0"):
            (place / name).write_bytes(b"\x7fELF trap")
    (root / "etc" / "nsswitch.conf").write_text("passwd: evil files\ngroup: evil files\n")
    return root


def test_hostile_libraries_are_never_loaded(host: Host, hostile_root: Path) -> None:
    name = host.run("--root", str(hostile_root))
    pid = host.state(name)["pid"]
    before = mapped_files(pid)
    assert host.ok("exec", "-u", "nobody", name, "id", "-un") == "nobody\n"
    host.ctl("exec", "-u", "nonesuch", name, "true")
    host.ctl("exec", name, "nonesuch")
    host.ok("ps", name)
    host.ok("stats", name)
    assert mapped_files(pid) == before
    assert host.ctl("exec", name, "ls", "/trapped").returncode != 0


def mapped_files(pid: int) -> set[str]:
    """Every file that the process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split(None, 5)[5] for line in lines if line.count("/")}


def test_init_is_not_dumpable_and_children_see_three_descriptors(host: Host) -> None:
    name = host.run()
    pid = host.state(name)["pid"]
    assert os.stat(f"/proc/{pid}/fd").st_uid == 0
    assert "dumpable" not in host.inside(name, "cat", "/proc/self/status")
    refused = host.ctl("exec", name, "ls", "/proc/1/root/", "/proc/1/cwd/", "/proc/1/fd/")
    assert refused.returncode != 0
    script = "import os; print(sorted(os.listdir('/proc/self/fd')))"
    # The listing's own descriptor is the fourth.
    assert host.inside(name, "/usr/bin/python3", "-c", script) == "['0', '1', '2', '3']\n"
