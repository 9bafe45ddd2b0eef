"""Make a container, run true, gone; and a hundred at once: time, memory, clearing.

podman and crun are left out: where cgroup v1 is mounted crun's clean-up has killed every process
of cgroup "/". runc runs without cgroups.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import select
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import pyinit
from pyinit.container import clearing
from pyinit.container.launch import Container, launch
from pyinit.linux.mount import MS_PRIVATE, MS_REC, mount, pivot_root, umount_detach
from pyinit.linux.namespaces import FLAGS, unshare
from pyinit.linux.thread import in_thread
from pyinit.spec.container import ContainerSpec, Root
from tests.bench import nspawn
from tests.bench.measure import in_turns, table
from tests.support import roots
from tests.support.containers import Host

pytestmark = [pytest.mark.root, pytest.mark.package("busybox-static")]

ROUNDS = int(os.environ.get("PYINIT_BENCH_ROUNDS", "100"))
MANY = 100
_numbers = itertools.count()


@pytest.fixture
def warm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is one that has everything loaded."""
    monkeypatch.setenv("PYINIT_RUN_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o700, exist_ok=True)
    pyinit.load()
    gc.collect()
    gc.freeze()


def spec(*command: str) -> ContainerSpec:
    root = Root(layers=(str(roots.busybox_root()),))
    return ContainerSpec(name=f"b{next(_numbers)}", command=command, root=root)


def gone(container: Container) -> None:
    poll = select.poll()
    poll.register(container.pidfd, select.POLLIN)
    poll.poll()
    os.waitpid(container.pid, 0)
    clearing.remove(container.folder)
    container.close()


def finished(*words: str) -> Callable[[], object]:
    return lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def bubblewrap() -> Callable[[], object]:
    root = str(roots.busybox_root())
    return finished(
        *("bwrap", "--unshare-all", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev"),
        "/bin/true",
    )


def runc(bundle: Path) -> Callable[[], object]:
    bundle.mkdir()
    subprocess.run(["runc", "spec"], cwd=bundle, check=True)
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"args": ["/bin/true"], "terminal": False}
    config["root"] = {"path": str(roots.busybox_root()), "readonly": True}
    # No group is made, entered or removed: "/" is never at stake.
    config["linux"]["namespaces"] = [
        each for each in config["linux"]["namespaces"] if each["type"] != "cgroup"
    ]
    config["linux"].pop("resources", None)
    (bundle / "config.json").write_text(json.dumps(config))
    words = ("runc", "--root", str(bundle / "state"), "run", "--bundle", str(bundle))
    return lambda: subprocess.run(
        [*words, f"b{next(_numbers)}"], check=True, stdout=subprocess.DEVNULL
    )


def bare_fork(folder: Path) -> Callable[[], object]:
    """The least that a container takes which is forked from here: namespaces, a root, true.

    No init, no cgroup, no filter, no socket: what no launch from this process can be ahead of.
    """
    for name in ("upper", "work", "merged"):
        (folder / name).mkdir(parents=True)
    merged = str(folder / "merged")
    layers = f"lowerdir={roots.busybox_root()},upperdir={folder}/upper,workdir={folder}/work"
    kinds = sum(FLAGS[name] for name in ("pid", "net", "ipc", "mnt", "uts", "cgroup"))

    def child() -> None:
        try:
            mount("", "/", "", MS_PRIVATE | MS_REC)
            mount("overlay", merged, "overlay", 0, layers)
            mount("proc", f"{merged}/proc", "proc", 0)
            mount("tmpfs", f"{merged}/dev", "tmpfs", 0)
            os.chdir(merged)
            pivot_root(".", ".")
            umount_detach(".")
            command = os.posix_spawn("/bin/true", ["/bin/true"], {})
            os._exit(os.waitpid(command, 0)[1])
        finally:
            os._exit(1)

    def in_namespaces() -> int:
        unshare(kinds)
        pid = os.fork()
        if pid == 0:
            child()
        return pid

    def run() -> None:
        assert os.waitpid(in_thread(in_namespaces), 0)[1] == 0

    return run


def test_run_true_gone(
    host: Host, warm: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(roots.busybox_root())
    candidates: dict[str, Callable[[], object]] = {
        "pyinit, library loaded": lambda: gone(launch(spec("/bin/true"))),
        "a bare fork, library loaded": bare_fork(tmp_path / "bare"),
        "pyinit-ctl run --rm": lambda: host.ok("run", "--rm", "--layer", root, "--", "/bin/true"),
    }
    if shutil.which("bwrap"):
        candidates["bwrap"] = bubblewrap()
    if shutil.which("runc"):
        candidates["runc run"] = runc(tmp_path / "bundle")
    taken = in_turns(candidates, ROUNDS)
    with capsys.disabled():
        print("\n\n" + table(taken, "bwrap" if "bwrap" in taken else "pyinit-ctl run --rm"))


def from_the_command_line(*arguments: str) -> Callable[[], object]:
    """The installed script, as a user has it: without site."""
    return finished(str(Path(sys.executable).with_name("pyinit-ctl")), *arguments)


class FirstInstruction:
    """Runs a container and notes the milliseconds until its command wrote its first byte."""

    def __init__(self, *arguments: str) -> None:
        script = str(Path(sys.executable).with_name("pyinit-ctl"))
        self._command = [script, "run", "--rm", *arguments, "/bin/echo", "1"]
        self.taken: list[float] = []

    def __call__(self) -> None:
        begin = time.perf_counter()
        with subprocess.Popen(self._command, stdout=subprocess.PIPE, bufsize=0) as running:
            assert running.stdout is not None
            assert running.stdout.read(1) == b"1"
            self.taken.append((time.perf_counter() - begin) * 1000)


def test_from_the_command_line(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYINIT_RUN_DIR", str(host.run_dir))
    root = roots.busybox_root()
    layer = ("--layer", str(root), "--")
    first, first_name = FirstInstruction(*layer), "pyinit-ctl run, first instruction"
    with contextlib.ExitStack() as stack:
        candidates = {
            "python -I -S -c pass": finished(sys.executable, "-I", "-S", "-c", "pass"),
            first_name: first,
            "pyinit-ctl run --rm": from_the_command_line("run", "--rm", *layer, "/bin/true"),
            "pyinit-ctl ls -q": from_the_command_line("ls", "-q"),
        }
        if shutil.which("systemd-nspawn"):
            made = nspawn.ready(root, tmp_path / "nspawn")
            candidates["systemd-nspawn"] = stack.enter_context(made)
        if shutil.which("bwrap"):
            candidates["bwrap"] = bubblewrap()
        taken = in_turns(candidates, ROUNDS) | {first_name: first.taken}
    with capsys.disabled():
        print("\n\n" + table(taken, "python -I -S -c pass"))


def proportional(pid: int) -> int:
    """KiB of a process, with shared pages divided among those that share them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError("no Pss in smaps_rollup")


def test_a_hundred_at_once(warm: None, capsys: pytest.CaptureFixture[str]) -> None:
    begin = time.perf_counter()
    up = [launch(spec("/bin/sleep", "1000")) for _ in range(MANY)]
    ready = time.perf_counter()
    memory = [proportional(container.pid) for container in up]
    end = time.perf_counter()
    for container in up:
        os.kill(container.pid, 9)
    for container in up:
        gone(container)
    cleared = time.perf_counter()
    with capsys.disabled():
        print(f"\n\n{MANY} containers from one process that has the library loaded:")
        print(f"  up after {ready - begin:.2f} s, {statistics.median(memory)} KiB (PSS) each")
        print(f"  all cleared after {cleared - end:.2f} s")
