"""Roots and surroundings that want to lead the launch astray: each item of TRAPS 16 to 20.

What a running container tries against its PID 1 is in tests/system/test_container_power.py.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support import roots
from tests.support.containers import Host
from tests.support.ctl import LIMIT, environment, words

pytestmark = [pytest.mark.root, pytest.mark.package("busybox-static")]

# Where pyinit itself mounts something, and what the link is called that stands there.
FOLDERS = ("/proc", "/sys", "/dev", "/run", "/tmp")
FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return roots.copy(roots.busybox_root(), tmp_path / "root")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of the host with a file in it, that links lead to."""
    place = tmp_path / "victim"
    place.mkdir()
    (place / "file").write_text("the host's\n")
    return place


def untouched(victim: Path) -> bool:
    mounted = str(victim) in Path("/proc/self/mountinfo").read_text()
    listed = sorted(path.name for path in victim.iterdir())
    return not mounted and listed == ["file"] and (victim / "file").read_text() == "the host's\n"


def replace_by_link(root: Path, target: str, content: str) -> None:
    path = root / target.lstrip("/")
    if path.is_dir():
        subprocess.run(["rm", "-r", str(path)], check=True)
    path.unlink(missing_ok=True)
    path.symlink_to(content)


def links_to(victim: Path, name: str) -> list[str]:
    up = "../" * 40
    return [str(victim / name), f"{up}{victim / name}".replace("//", "/"), "/proc/1/root", ".."]


@pytest.mark.parametrize("target", FOLDERS)
@pytest.mark.parametrize("which", range(4))
def test_a_link_in_place_of_a_folder(
    host: Host, root: Path, victim: Path, target: str, which: int
) -> None:
    replace_by_link(root, target, links_to(victim, "")[which])
    done = host.ctl("run", "--rm", "--root", str(root), "--", "/bin/true")
    assert untouched(victim)
    if target in ("/proc", "/sys", "/dev"):
        assert done.returncode == 125
        assert b"symbolic link" in done.stderr
    assert done.stderr.count(b"\n") <= 1


@pytest.mark.parametrize("target", FILES)
@pytest.mark.parametrize("which", range(4))
def test_a_link_in_place_of_a_file(
    host: Host, root: Path, victim: Path, target: str, which: int
) -> None:
    replace_by_link(root, target, links_to(victim, "file")[which])
    done = host.ctl("run", "--rm", "--root", str(root), "--", "/bin/cat", target)
    assert untouched(victim)
    assert b"the host's" not in done.stdout
    assert done.stderr.count(b"\n") <= 1


@pytest.mark.parametrize("above", ["/etc", "/mnt", "/mnt/deep"])
def test_a_link_above_a_volume(host: Host, root: Path, victim: Path, above: str) -> None:
    (root / "mnt").mkdir(exist_ok=True)
    replace_by_link(root, above, str(victim))
    volume = f"{victim}:{above}/in/here"
    host.ctl("run", "--rm", "--root", str(root), "-v", volume, "--", "/bin/true")
    assert untouched(victim)


def test_links_inside_a_volume_are_the_containers(host: Host, root: Path, victim: Path) -> None:
    shared = victim.with_name("shared")
    shared.mkdir()
    (shared / "out").symlink_to(victim)
    words = ("-v", f"{shared}:/v", "-v", f"{shared}:/v/out/new")
    host.ctl("run", "--rm", "--root", str(root), *words, "--", "/bin/true")
    assert untouched(victim)


def test_masked_paths_that_are_links_stay_unmasked_and_lead_nowhere(
    host: Host, root: Path, victim: Path
) -> None:
    """Only what the kernel itself mounts is masked: /proc is a procfs by then."""
    output = host.ok("run", "--rm", "--root", str(root), "--", "/bin/cat", "/proc/keys")
    assert output == ""
    assert untouched(victim)


@pytest.mark.parametrize("fake", ["regular", "link", "other device"])
def test_a_false_dev_null_on_the_host_is_found_out(
    host: Host, root: Path, tmp_path: Path, fake: str
) -> None:
    false = tmp_path / "null"
    if fake == "other device":
        os.mknod(false, stat.S_IFCHR | 0o666, os.makedev(1, 11))
    else:
        false.write_text("")
    script = 'mount --make-rprivate /; mount --bind "$0" /dev/null; exec "$@"'
    if fake == "link":
        script = (
            "mount --make-rprivate /; mkdir -p /dev/shm; mount -t tmpfs none /dev/shm;"
            ' : > /dev/shm/x; mount --bind /dev/shm/x /dev/null; exec "$@"'
        )
    command = words("run", "--rm", "--root", str(root), "--", "/bin/true")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, str(false), *command],
        env=environment(host.run_dir),
        stdin=subprocess.PIPE,
        capture_output=True,
        timeout=LIMIT,
    )
    assert done.returncode == 125
    assert b"is not device 1:3" in done.stderr


def test_no_descriptor_of_the_maker_is_inside(host: Host, root: Path) -> None:
    leaked = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.set_inheritable(leaked, True)
        script = "ls /proc/self/fd; ls -l /proc/$$/fd"
        done = host.ctl(
            *("run", "--rm", "--root", str(root), "--", "/bin/sh", "-c", script),
            pass_fds=[leaked],
        )
    finally:
        os.close(leaked)
    numbers = done.stdout.decode().splitlines()[:4]
    assert numbers == ["0", "1", "2", "3"]  # 3 is the folder that ls reads


def test_no_descriptor_of_pid_1_is_a_way_out_for_a_working_folder(host: Host, root: Path) -> None:
    """Init has folders of the host open, such as the container's logs (CVE-2024-21626)."""
    name = host.run("--root", str(root), "--", "/bin/sleep", "1000")
    pid = host.state(name)["pid"]
    numbers = [number for number in os.listdir(f"/proc/{pid}/fd") if int(number) > 2]
    assert any(host.run_dir.name in os.readlink(f"/proc/{pid}/fd/{n}") for n in numbers)
    for number in numbers:
        for way in ("self", "1", "thread-self"):
            (root / "way").unlink(missing_ok=True)
            (root / "way").symlink_to(f"/proc/{way}/fd/{number}")
            done = host.ctl("exec", "-w", "/way", name, "--", "/bin/pwd", "-P")
            # Its own root, /proc and terminals are in the container as well.
            inside = done.stdout in (b"/\n", b"/proc\n", b"/dev/pts\n", b"/dev\n")
            assert inside or (done.returncode == 125 and not done.stdout), (way, number, done)


@pytest.mark.parametrize("power", [(), ("--privileged",), ("--userns", "auto")])
def test_pid_1_can_not_be_killed_from_inside(host: Host, power: tuple[str, ...]) -> None:
    name = host.run(*power, "--", "sleep", "1000")
    script = "kill -KILL 1; kill -STOP 1; kill -SEGV 1; kill -9 -1; echo unreached"
    host.ctl("exec", name, "--", "sh", "-c", script)
    again = host.ctl("exec", name, "--", "true")
    # The main command is gone by that last signal, and with it the container, in good order.
    assert again.returncode in (0, 125)
    host.ok("wait", name)
    assert host.exit(name)["signal"] == 9
    assert host.exit(name)["reason"] == "killed"


@pytest.mark.parametrize("power", [(), ("--userns", "auto"), ("--cap-add", "SYS_ADMIN")])
def test_the_host_can_not_be_written_to_by_way_of_proc(host: Host, power: tuple[str, ...]) -> None:
    script = (
        "for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe"
        " /sys/kernel/uevent_helper /proc/1/mem /proc/1/oom_score_adj /proc/1/exe;"
        ' do (printf x > "$f") 2>/dev/null && echo "wrote $f"; done; true'
    )
    assert host.ok("run", "--rm", *power, "--", "sh", "-c", script) == ""


def test_the_run_folder_is_not_in_the_default_root(host: Host) -> None:
    script = f"ls -A {host.run_dir} 2>/dev/null; ls -A /run/pyinit 2>/dev/null; true"
    assert host.ok("run", "--rm", "--", "sh", "-c", script) == ""


ATTACKS = Path(__file__).parents[2] / "payloads" / "attacks.py"
PYTHON = Path("/usr/bin/python3")


@pytest.mark.skipif(not PYTHON.exists(), reason="needs Debian's python3: run make packages")
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_it_holds_in_a_user_namespace_too(host: Host, user: str) -> None:
    words = ("--userns", "auto", "--user", user)
    output = host.ok("run", "--rm", *words, "--", str(PYTHON), "-I", "-c", ATTACKS.read_text())
    outcomes: dict[str, str] = json.loads(output)
    assert "done" not in outcomes.values(), outcomes


@pytest.mark.parametrize("power", [(), ("--userns", "auto")])
def test_nor_is_a_run_folder_elsewhere(power: tuple[str, ...]) -> None:
    """One that no fresh /tmp or /run covers, reached by a link."""
    with tempfile.TemporaryDirectory(dir="/var/lib") as place:
        real, link = Path(place, "real"), Path(place, "link")
        real.mkdir(mode=0o700)
        link.symlink_to(real)
        host = Host(link / "run")
        host.run_dir.mkdir(mode=0o700)
        script = f"ls -A {real}/run {link}/run 2>&1; ls -ld {place}"
        output = host.ok("run", "--rm", *power, "--", "sh", "-c", script)
        assert "control.sock" not in output
        assert "locks" not in output
        assert place in output
