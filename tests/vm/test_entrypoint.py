"""pyinit as the entrypoint of containers that runc, systemd-nspawn and LXC make.

In a kernel of their own, because these put their hands on cgroups. The root is an overlay of
the machine's own; what lies on mounts of its own is bound into it.
"""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import opt_pyinit
from tests.support.inits import (
    LIMIT_S,
    PYINIT,
    TREE,
    Running,
    environment,
    handing_in,
    listening,
    until,
)
from tests.support.varlink_call import call, run_output

pytestmark = [pytest.mark.vm, pytest.mark.package("runc", "systemd-container", "lxc")]

NEEDED = [TREE, Path(sys.prefix), Path(sys.base_prefix)]
# Says what it finds of init's sockets and where it is, and ends with its input.
TELL = "echo pid $PPID; env | grep -c LISTEN_; ls /control; echo end; read x; exit 7"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The machine's own root, with a throw-away layer on top; shared, as every mount is where
    systemd is the host's init."""
    for name in ("upper", "work", "merged"):
        (tmp_path / name).mkdir()
    merged = tmp_path / "merged"
    layers = f"lowerdir=/,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", merged], check=True)
    subprocess.run(["mount", "--make-shared", merged], check=True)
    try:
        (merged / "control").mkdir()
        for folder in NEEDED:
            (merged / folder.relative_to("/")).mkdir(parents=True, exist_ok=True)
        yield merged
    finally:
        subprocess.run(["umount", merged], check=True)


def lines_until_end(running: Running) -> list[str]:
    lines = []
    while (line := running.line()) != "end":
        assert line or running.process.poll() is None, running.errors()
        lines.append(line)
    return lines


def bundle(folder: Path, root: Path, control: Path | None, *command: str) -> Path:
    """An OCI bundle, from runc's own template."""
    subprocess.run(["runc", "spec", "--bundle", folder], check=True)
    config = json.loads((folder / "config.json").read_text())
    config["root"] = {"path": str(root), "readonly": True}
    config["process"] |= {"terminal": False, "args": list(command)}
    config["process"]["env"] += [f"PYTHONPATH={TREE}"]
    config["linux"]["cgroupsPath"] = "/pyinit-test"
    bound = [(folder, folder) for folder in NEEDED]
    bound += [(control, Path("/control"))] if control is not None else []
    config["mounts"] += [
        {"destination": str(to), "source": str(source), "type": "bind", "options": ["rbind"]}
        for source, to in bound
    ]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_runc_hands_a_socket_in(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    bundle(folder, root, None, *PYINIT, "sh", "-c", TELL)
    with listening(tmp_path / "c.sock") as listener:
        number = listener.fileno()
        command = [*handing_in(number), "runc", "run", "--bundle", str(folder), "box"]
        with Running(command, pass_fds=[number]) as running:
            assert lines_until_end(running) == ["pid 1", "0"]
            assert run_output(tmp_path / "c.sock", "sh", "-c", "echo $PPID") == "1\n"
            running.finish()
            assert running.wait() == 7


def test_runc_with_a_folder(tmp_path: Path, root: Path) -> None:
    """Without CAP_SYS_ADMIN, as runc's template has it, the folder stays."""
    folder, control = tmp_path / "bundle", tmp_path / "control"
    folder.mkdir()
    control.mkdir()
    bundle(folder, root, control, *PYINIT, "--control", "/control/c.sock", "sh", "-c", TELL)
    with Running(["runc", "run", "--bundle", str(folder), "box"]) as running:
        assert lines_until_end(running) == ["pid 1", "0", "c.sock"]
        assert run_output(control / "c.sock", "id", "-u") == "0\n"
        subprocess.run(["runc", "kill", "box", "TERM"], check=True)
        assert running.wait() == 143


def nspawn(root: Path, *options: str) -> list[str]:
    """Without systemd on the host: no scope to be made, no machine to be registered."""
    binds = [f"--bind-ro={folder}" for folder in NEEDED]
    quiet = ["--quiet", "--register=no", "--keep-unit", "--console=pipe"]
    return [
        *("systemd-nspawn", *quiet, "--directory", str(root), "--machine=box"),
        *(*binds, f"--setenv=PYTHONPATH={TREE}", *options),
    ]


def test_nspawn_hands_a_socket_in(tmp_path: Path, root: Path) -> None:
    with listening(tmp_path / "c.sock") as listener:
        number = listener.fileno()
        command = [*handing_in(number), *nspawn(root), *PYINIT, "sh", "-c", TELL]
        with Running(command, pass_fds=[number]) as running:
            assert lines_until_end(running) == ["pid 1", "0"]
            assert run_output(tmp_path / "c.sock", "sh", "-c", "echo $PPID") == "1\n"
            running.finish()
            assert running.wait() == 7


def test_nspawn_with_a_folder(tmp_path: Path, root: Path) -> None:
    """nspawn leaves CAP_SYS_ADMIN to its containers, so the folder goes."""
    control = tmp_path / "control"
    control.mkdir()
    command = nspawn(root, f"--bind={control}:/control")
    with Running([*command, *PYINIT, "--control", "/control/c.sock", "sh", "-c", TELL]) as running:
        assert lines_until_end(running) == ["pid 1", "0"]
        assert run_output(control / "c.sock", "id", "-u") == "0\n"
        running.finish()
        assert running.wait() == 7


LXC = """\
lxc.rootfs.path = dir:{root}
lxc.uts.name = box
lxc.console.path = none
lxc.apparmor.profile = unconfined
lxc.environment = PYTHONPATH={tree}
lxc.mount.auto = proc:mixed sys:mixed
lxc.mount.entry = {control} control none bind 0 0
{binds}
"""


def test_lxc_with_a_folder(tmp_path: Path, root: Path) -> None:
    control = tmp_path / "control"
    control.mkdir()
    binds = "\n".join(
        f"lxc.mount.entry = {folder} {folder.relative_to('/')} none rbind,ro 0 0"
        for folder in NEEDED
    )
    config = tmp_path / "lxc.conf"
    config.write_text(LXC.format(root=root, tree=TREE, control=control, binds=binds))
    (tmp_path / "lxc").mkdir()
    place = ["-P", str(tmp_path / "lxc"), "-n", "box"]
    command = ["lxc-start", *place, "-f", str(config), "-F", "-C", "--"]
    init = [*PYINIT, "--control", "/control/c.sock"]
    with Running([*command, *init, "sh", "-c", TELL]) as running:
        assert lines_until_end(running) == ["pid 1", "0"]
        assert run_output(control / "c.sock", "id", "-u") == "0\n"
        running.finish()
        running.wait()  # lxc-start keeps the code to itself


def example(name: str) -> str:
    return (TREE / "examples" / name).read_text()


def test_the_unit_for_nspawn(tmp_path: Path, root: Path) -> None:
    """Its command line, with the socket and the NOTIFY_SOCKET that systemd would give."""
    opt_pyinit.install(root)
    (line,) = re.findall(r"^ExecStart=(.*)$", example("nspawn.service"), re.MULTILINE)
    assert "ListenStream=" in example("nspawn.socket")
    words = shlex.split(line)
    place = words.index("--directory=/var/lib/machines/app")
    # No /dev/console here; systemd would have the output in its journal.
    binds = [f"--bind-ro={folder}" for folder in NEEDED]
    words[place : place + 1] = [f"--directory={root}", "--console=pipe", *binds]
    with (
        listening(tmp_path / "c.sock") as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(LIMIT_S)
        number = listener.fileno()
        told = environment(NOTIFY_SOCKET=str(tmp_path / "notify"))
        with Running([*handing_in(number), *words], pass_fds=[number], env=told) as running:
            while b"READY=1" not in manager.recv(4096):
                pass
            assert run_output(tmp_path / "c.sock", "sh", "-c", "echo $PPID") == "1\n"
            running.process.terminate()
            assert running.wait() == 0


def test_the_configuration_for_lxc(tmp_path: Path, root: Path) -> None:
    opt_pyinit.install(root)
    control = tmp_path / "control"
    config = tmp_path / "lxc.conf"
    control.mkdir()
    (tmp_path / "lxc").mkdir()
    more = [
        "lxc.apparmor.profile = unconfined",
        *(f"lxc.mount.entry = {f} {f.relative_to('/')} none rbind,ro 0 0" for f in NEEDED),
    ]
    text = example("lxc.conf").replace("/run/app run", f"{control} run")
    config.write_text("\n".join([text, *more]).replace("/var/lib/lxc/app/rootfs", str(root)))
    place = ["-P", str(tmp_path / "lxc"), "-n", "app"]
    with Running(["lxc-start", *place, "-f", str(config), "-F", "-C"]) as running:
        until((control / "app.sock").exists)
        assert call(control / "app.sock", "Describe")["container"]["hostname"] == "app"
        subprocess.run(["lxc-stop", *place], check=True)
        running.wait()
