"""pyinit as the entrypoint of images that podman builds and runs: examples/Containerfile and the
pod of examples/kubernetes-pod.yaml, by a real engine.

In a kernel of their own, for podman and its runtimes have their hands on cgroups.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.support.inits import LIMIT_S, TREE, Running, handing_in, listening, until
from tests.support.podman import IMAGE, MOUNTED, Podman, with_image
from tests.support.varlink_call import answers, call, run_output

pytestmark = [pytest.mark.vm, pytest.mark.package("podman", "crun", "catatonit")]

EXAMPLES = TREE / "examples"
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


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    return with_image(tmp_path_factory.mktemp("image"))


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
