"""Other ways into a container, each made ready as its users would: for bench_exec_command.

Each takes a folder of its own and gives the words that run /bin/true inside; what it started is
ended with it. podman and crun are left out: where cgroup v1 is mounted crun's clean-up has killed
every process of cgroup "/".
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support import roots, sshd
from tests.support.containers import Host

PATIENCE_S = 20.0
Way = Callable[[Host, str, Path], AbstractContextManager[list[str]]]


def until(reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < limit, "not in time"
        time.sleep(0.02)


def succeeds(words: list[str]) -> bool:
    return subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


@contextmanager
def openssh(host: Host, name: str, folder: Path) -> Iterator[list[str]]:
    """A new connection each time, on loopback."""
    with sshd.serving(folder, host.run_dir) as command:
        yield [*command.split(), "root@127.0.0.1", "/bin/true"]


@contextmanager
def dropbear(host: Host, name: str, folder: Path) -> Iterator[list[str]]:
    """The same, its server in the container; `folder` is /bench there."""
    for key in ("host", "user"):
        words = ["dropbearkey", "-t", "ed25519", "-f", str(folder / key)]
        public = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    (folder / "public").write_text(
        next(line for line in public.splitlines() if line.startswith("ssh-")) + "\n"
    )
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    host.inside(
        name,
        *(
            "sh",
            "-c",
            "mkdir -pm 700 ~/.ssh && cp /bench/dropbear/public ~/.ssh/authorized_keys",
        ),
    )
    server = ["dropbear", "-F", "-E", "-r", "/bench/dropbear/host", "-p", f"127.0.0.1:{port}"]
    host.ok("exec", "--detach", name, "--", *server)
    client = ["dbclient", "-y", "-y", "-i", str(folder / "user"), "-p", port, "root@127.0.0.1"]
    until(lambda: succeeds([*client, "/bin/true"]))
    yield [*client, "/bin/true"]


@contextmanager
def socat(host: Host, name: str, folder: Path) -> Iterator[list[str]]:
    """A backdoor: a shell behind a UNIX socket, which is told the command."""
    server = ["socat", "UNIX-LISTEN:/bench/socat/socket,fork", "EXEC:/bin/bash"]
    host.ok("exec", "--detach", name, "--", *server)
    until((folder / "socket").exists)
    (folder / "command").write_text("exec /bin/true\n")
    yield ["socat", "-t", "10", f"UNIX-CONNECT:{folder}/socket", f"OPEN:{folder}/command!!STDOUT"]


@contextmanager
def runc(host: Host, name: str, folder: Path) -> Iterator[list[str]]:
    """A container of its own, with no cgroup that is made, entered or removed."""
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    config = json.loads((folder / "config.json").read_text())
    config["process"] |= {"args": ["/bin/sleep", "100000"], "terminal": False}
    config["root"] = {"path": str(roots.busybox_root()), "readonly": True}
    config["linux"]["namespaces"] = [
        each for each in config["linux"]["namespaces"] if each["type"] != "cgroup"
    ]
    config["linux"].pop("resources", None)
    (folder / "config.json").write_text(json.dumps(config))
    words = ["runc", "--root", str(folder / "state")]
    null = subprocess.DEVNULL
    subprocess.run(
        [*words, "run", "--detach", "--bundle", str(folder), "bench"],
        check=True,
        stdin=null,
        stdout=null,
        stderr=null,
    )
    state = json.loads(subprocess.run([*words, "state", "bench"], capture_output=True).stdout)
    pidfd = os.pidfd_open(state["pid"])
    try:
        yield [*words, "exec", "bench", "/bin/true"]
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
        until(lambda: succeeds([*words, "delete", "bench"]))


@contextmanager
def lxc(host: Host, name: str, folder: Path) -> Iterator[list[str]]:
    """A container of its own, on busybox. LXC leaves an empty cgroup lxc.pivot behind."""
    config = folder / "config"
    config.write_text(
        f"lxc.rootfs.path = dir:{roots.busybox_root()}\n"
        "lxc.uts.name = bench\nlxc.console.path = none\nlxc.apparmor.profile = unconfined\n"
        "lxc.net.0.type = empty\nlxc.mount.auto = proc:mixed sys:mixed\n"
    )
    place = ["-P", str(folder), "-n", "bench"]
    server = subprocess.Popen(
        ["lxc-start", *place, "-f", str(config), "-F", "--", "/bin/sleep", "100000"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    words = ["lxc-attach", *place, "--", "/bin/true"]
    try:
        until(lambda: succeeds(words))
        yield words
    finally:
        subprocess.run(["lxc-stop", *place, "--kill"], capture_output=True)
        server.wait(PATIENCE_S)


WAYS: dict[str, tuple[str, Way]] = {
    "runc exec": ("runc", runc),
    "lxc-attach": ("lxc-attach", lxc),
    "socat and bash": ("socat", socat),
    "dropbear, new connection": ("dbclient", dropbear),
    "OpenSSH, new connection": ("ssh", openssh),
}
