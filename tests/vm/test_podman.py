"""pyinit as the entrypoint of images that podman builds and runs: examples/Containerfile and the
pod of examples/kubernetes-pod.yaml, by a real engine.

In a kernel of their own, for podman and its runtimes have their hands on cgroups. No registry is
there, so the image is built from nothing in place of Debian's, and finds this machine's /usr, the
tree and the interpreter on mounts.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import opt_pyinit
from tests.support.inits import (
    LIMIT_S,
    TREE,
    Running,
    environment,
    handing_in,
    listening,
    until,
)
from tests.support.varlink_call import call, run_output

pytestmark = [pytest.mark.vm, pytest.mark.package("podman", "crun", "catatonit")]

EXAMPLES = TREE / "examples"
IMAGE = "localhost/app"
MOUNTED = (Path("/usr"), TREE, Path(sys.prefix), Path(sys.base_prefix))
VOLUMES = Path("/var/lib/containers/storage/volumes")
PROGRAM = "/opt/pyinit/bin/pyinit"
MOUNT = """\
        - name: machine{n}
          mountPath: {folder}
          readOnly: true
"""
VOLUME = """\
    - name: machine{n}
      hostPath:
        path: {folder}
"""
FETCH = """
import time, urllib.request
for _ in range(100):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8000").status)
        break
    except OSError:
        time.sleep(0.1)
"""


class Podman:
    """podman without a systemd beside it."""

    WORDS = ("podman", "--cgroup-manager=cgroupfs", "--events-backend=file")

    def __init__(self) -> None:
        # Collecting garbage takes its time here, where every page fault does.
        self.environment = environment(GOGC="off")

    def __call__(self, *words: str) -> str:
        command = [*self.WORDS, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, *options: str) -> list[str]:
        """The words that run the image with what it needs of this machine."""
        binds = [f"--volume={folder}:{folder}:ro" for folder in MOUNTED]
        return ["run", "--network=none", "--pull=never", *binds, *options]


def root_of_an_image(folder: Path) -> Path:
    """What is to be in an image besides the mounts."""
    opt_pyinit.install(folder)
    for name in ("bin", "sbin", "lib", "lib64"):
        (folder / name).symlink_to(f"usr/{name}")
    (folder / "etc").mkdir()
    (folder / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return folder


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """podman, and the image made by examples/Containerfile; its RUN, which fetches pyinit, is a
    COPY."""
    context = root_of_an_image(tmp_path_factory.mktemp("image"))
    text = (EXAMPLES / "Containerfile").read_text()
    text, changed = re.subn(r"^RUN (?:.*\\\n)*.*$", "COPY . /", text, flags=re.MULTILINE)
    assert changed == 1
    (context / "Containerfile").write_text(text)
    # Where podman keeps all it has; the machine's own is read-only, and this kernel ends with
    # this file's tests.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var"], check=True)
    for name in ("cache", "lib", "tmp"):
        Path("/var", name).mkdir()
    found = Podman()
    alone = ["--network=none", "--layers=false", "--from=scratch"]
    found("build", *alone, "--tag", IMAGE, str(context))
    return found


def answers(path: Path) -> bool:
    try:
        return bool(call(path, "Describe"))
    except OSError:
        return False


def test_the_containerfile(podman: Podman, tmp_path: Path) -> None:
    podman(*podman.run("--detach", "--name=app", f"--volume={tmp_path}:/run/control", IMAGE))
    path = tmp_path / "app.sock"
    until(lambda: answers(path))
    assert call(path, "Describe")["container"]["name"] == "app"
    assert run_output(path, "sh", "-c", "echo $PPID") == "1\n"
    assert run_output(path, "python3", "-c", FETCH) == "200\n"
    podman("stop", "app")
    # TERM went on to the command, which left by it.
    assert podman("inspect", "--format={{.State.ExitCode}}", "app") == "143\n"
    assert not answers(path)
    podman("rm", "app")


def test_a_socket_is_handed_in(podman: Podman, tmp_path: Path) -> None:
    """Opened before podman was started, which passes it on; as it does the NOTIFY_SOCKET."""
    script = "env | grep -c -e LISTEN_ -e NOTIFY_; echo end; read x; exit 7"
    options = ["--interactive", "--rm", "--sdnotify=container", f"--entrypoint={PROGRAM}"]
    with (
        listening(tmp_path / "c.sock") as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(LIMIT_S)
        number = listener.fileno()
        command = [*podman.WORDS, *podman.run(*options, IMAGE), "--", "sh", "-c", script]
        env = {**podman.environment, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with Running([*handing_in(number), *command], pass_fds=[number], env=env) as running:
            assert [running.line(), running.line()] == ["0", "end"]
            while b"READY=1" not in manager.recv(4096):
                pass
            assert run_output(tmp_path / "c.sock", "sh", "-c", "echo $PPID") == "1\n"
            running.finish()
            assert running.wait() == 7


def pod(interval: float) -> str:
    """examples/kubernetes-pod.yaml with the image's mounts, and a sidecar that looks oftener."""
    text = (EXAMPLES / "kubernetes-pod.yaml").read_text()
    mounts = "".join(MOUNT.format(n=n, folder=folder) for n, folder in enumerate(MOUNTED))
    volumes = "".join(VOLUME.format(n=n, folder=folder) for n, folder in enumerate(MOUNTED))
    place = "          mountPath: /run/control\n"
    assert text.count(place) == text.count("image: app\n") == 2
    text = text.replace(place, place + mounts).replace("image: app\n", f"image: {IMAGE}\n")
    text = text.replace("sleep 10", f"sleep {interval}")
    return text + volumes


def renew_groups() -> None:
    """podman 4.3 without systemd forbids a pod's cgroup every device, /dev/null included, by a
    program on it that goes with the folder."""
    for folder in Path("/sys/fs/cgroup/libpod_parent").iterdir():
        if folder.is_dir():
            folder.rmdir()
            folder.mkdir()


def test_the_pod_and_its_sidecar(podman: Podman, tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(pod(0.5))
    podman("kube", "play", "--start=false", "--network=none", str(file))
    renew_groups()
    podman("pod", "start", "app")
    path = VOLUMES / "control" / "_data" / "app.sock"
    until(lambda: answers(path))
    assert run_output(path, "id", "-u") == "65534\n"
    command = [*podman.WORDS, "logs", "--follow", "app-watch"]
    with Running(command, env=podman.environment) as sidecar:
        lines = []
        while (line := sidecar.line()) != "}":
            lines.append(line)
        assert json.loads("".join([*lines, "}"]))["processes"] >= 2
    podman("pod", "stop", "app")
    assert podman("inspect", "--format={{.State.ExitCode}}", "app-app") == "143\n"
    assert not answers(path)
