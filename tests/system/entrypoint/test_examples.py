"""The command lines of examples/ that need a runtime, run without one."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.support import opt_pyinit
from tests.support.inits import AS_NOBODY, TREE, Running, environment, isolated, readable, until
from tests.support.varlink_call import call, run_output

pytestmark = pytest.mark.root

CONTAINERFILE = (TREE / "examples" / "Containerfile").read_text()
POD = (TREE / "examples" / "kubernetes-pod.yaml").read_text()
FETCH = """
import time, urllib.request
for _ in range(100):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8000").status)
        break
    except OSError:
        time.sleep(0.1)
"""


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that every user can reach, with `opt` and `control` in it."""
    folder = tmp_path_factory.mktemp("example")
    for each in (folder, *list(folder.parents)[:2]):
        each.chmod(0o755)
    opt_pyinit.install(folder)
    control = folder / "control"
    control.mkdir()
    os.chown(control, 65534, 65534)
    return folder


def container(shared: Path, *command: str, user: tuple[str, ...] = ()) -> Running:
    """The command in namespaces of its own, with /opt and /run/control as the image has them."""
    prepare = f"""
ip link set lo up
{readable(shared) if user else ""}
mkdir -p /opt
mount --bind {shared}/opt /opt
mount -t tmpfs none /run
mkdir /run/control
mount --bind {shared}/control /run/control
"""
    path = f"/opt/pyinit/bin:{os.environ['PATH']}"
    return Running(
        ["unshare", "--net", *isolated(*user, *command, prepare=prepare)],
        env=environment(PATH=path),
    )


def test_the_containerfile(shared: Path) -> None:
    lines = dict(re.findall(r"^(ENTRYPOINT|CMD) (\[.*\])$", CONTAINERFILE, re.MULTILINE))
    command = [*json.loads(lines["ENTRYPOINT"]), *json.loads(lines["CMD"])]
    with container(shared, *command) as running:
        path = shared / "control" / "app.sock"
        until(path.exists)
        assert run_output(path, "python3", "-c", FETCH) == "200\n"
        assert call(path, "Describe")["container"]["name"] == "app"
        # CAP_SYS_ADMIN is there in a test: nothing of the socket is left to be seen.
        assert run_output(path, "ls", "/run/control") == ""
        assert running.process.poll() is None


def pod() -> dict[str, tuple[list[str], list[str]]]:
    """Command and arguments of each container; they are written as JSON, which YAML includes."""
    found = {}
    for block in re.split(r"^    - name: ", POD, flags=re.MULTILINE)[1:3]:
        command, arguments = (
            json.loads(match) for match in re.findall(r"(?:command|args): (\[.*\])", block)
        )
        assert "name: control\n          mountPath: /run/control\n" in block
        found[block.partition("\n")[0]] = (command, arguments)
    return found


def test_the_pod_and_its_sidecar(shared: Path) -> None:
    containers = pod()
    assert list(containers) == ["app", "watch"]
    assert "runAsUser: 65534" in POD
    command, arguments = containers["app"]
    watch, script = containers["watch"]
    script = [word.replace("sleep 10", "sleep 0.2") for word in script]
    with container(shared, *command, *arguments, user=AS_NOBODY):
        until((shared / "control" / "app.sock").exists)
        with container(shared, *watch, *script, user=AS_NOBODY) as sidecar:
            lines = []
            while (line := sidecar.line()) != "}":
                lines.append(line)
            assert json.loads("".join([*lines, "}"]))["processes"] >= 2
