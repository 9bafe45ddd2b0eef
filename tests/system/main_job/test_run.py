"""`pyinit-ctl run` and what a container is: as root, with real namespaces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.containers import Host
from tests.support.leaks import Snapshot
from tests.support.roots import busybox_root

pytestmark = pytest.mark.root

NAMESPACES = ("pid", "mnt", "uts", "ipc", "net", "cgroup")


def test_output_input_and_status(host: Host) -> None:
    done = host.ctl("run", "--rm", "-i", "--", "sh", "-c", "cat; echo err >&2; exit 7", input=b"in")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in", b"err\n")


def test_killed_command_is_128_and_the_signal(host: Host) -> None:
    assert host.ctl("run", "--rm", "--", "sh", "-c", "kill -KILL $$").returncode == 137


def test_own_namespaces(host: Host) -> None:
    name = host.run("--hostname", "inner")
    inside = host.inside(name, "sh", "-c", "cd /proc/self/ns; readlink " + " ".join(NAMESPACES))
    ours = [os.readlink(f"/proc/self/ns/{kind}") for kind in NAMESPACES]
    assert not set(inside.split()) & set(ours)
    assert host.inside(name, "hostname") == "inner\n"
    assert os.uname().nodename != "inner"


def test_mounts_are_its_own(host: Host) -> None:
    name = host.run("--root", str(busybox_root()))
    mounts = {
        line.split()[1]: line.split()
        for line in host.inside(name, "cat", "/proc/mounts").splitlines()
    }
    assert mounts["/proc"][2] == "proc"
    assert mounts["/sys"][2] == "sysfs"
    assert "ro" in mounts["/sys"][3].split(",")
    assert {"/", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/run", "/tmp"} <= set(mounts)
    kernel = {path for path in mounts if not path.startswith(("/proc", "/sys", "/dev", "/etc"))}
    assert kernel == {"/", "/run", "/tmp"}


def test_devices(host: Host) -> None:
    name = host.run()
    expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert host.inside(name, "ls", "/dev").split() == expected.split()
    assert host.inside(name, "sh", "-c", "echo x > /dev/null; head -c 3 /dev/zero | wc -c") == "3\n"


@pytest.mark.parametrize("userns", ["host", "auto"])
def test_a_device_of_the_host(host: Host, userns: str) -> None:
    device, script = (
        "/dev/zero:/dev/nought",
        "head -c 3 /dev/nought | wc -c; stat -c %t:%T /dev/nought",
    )
    done = host.ok("run", "--rm", "--userns", userns, "--device", device, "--", "sh", "-c", script)
    assert done == "3\n1:5\n"


def test_loopback_is_up(host: Host) -> None:
    name = host.run()
    listen = "import socket; server = socket.create_server(('127.0.0.1', 0))"
    script = f"{listen}; socket.create_connection(server.getsockname())"
    host.inside(name, "/usr/bin/python3", "-c", script)


def test_default_root_is_thrown_away(host: Host, tmp_path: Path) -> None:
    marker = f"/var/lib/pyinit-{os.getpid()}"
    name = host.run()
    host.inside(name, "touch", marker)
    assert host.inside(name, "ls", marker) == f"{marker}\n"
    assert not os.path.exists(marker)


def test_socket_is_not_in_the_container(host: Host) -> None:
    name = host.run()
    found = host.inside(name, "sh", "-c", f"ls -d {host.run_dir} {host.run_dir}/{name} 2>&1; true")
    assert "control.sock" not in host.inside(name, "find", "/", "-xdev", "-name", "control.sock")
    assert f"{host.run_dir}/{name}\n" not in found.replace("cannot access", "")
    assert (host.run_dir / name / "control.sock").is_socket()


def test_socket_and_folder_modes(host: Host) -> None:
    name = host.run()
    assert (host.run_dir / name).stat().st_mode & 0o777 == 0o700
    assert (host.run_dir / name / "control.sock").stat().st_mode & 0o777 == 0o600


def test_control_elsewhere(host: Host, tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30) / "here.sock"
    path.parent.mkdir()
    host.run("--control", str(path))
    assert host.ok("exec", str(path), "echo", "reached") == "reached\n"


def test_environment_user_and_folder(host: Host) -> None:
    done = host.ok("run", "--rm", "-e", "A=1", "-w", "/tmp", "-u", "nobody", "--", "sh", "-c",
                   "echo $A $PWD $(id -un)")  # fmt: skip
    assert done == "1 /tmp nobody\n"


def test_sees_its_own_pids(host: Host) -> None:
    name = host.run("--", "sleep", "1000")
    processes = host.json("ps", "--json", name)
    by_pid = {process["pid"]: process for process in processes}
    assert by_pid[1]["ppid"] == 0
    sleep = next(each for each in processes if each["name"] == "sleep")
    assert sleep["ppid"] == 1
    host_pid = host.state(name)["pid"]
    children = Path(f"/proc/{host_pid}/task/{host_pid}/children").read_text().split()
    assert str(sleep["pid"]) not in children


def test_signals_reach_the_command(host: Host) -> None:
    script = "trap 'echo got; exit 3' RTMIN+1; echo ready; while :; do sleep 0.01; done"
    running = host.start("run", "--name", "sig", "--rm", "--", "bash", "-c", script,
                         stdout=subprocess.PIPE)  # fmt: skip
    host.made.append("sig")
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    host.ok("kill", "--signal", "RTMIN+1", "sig")
    assert running.stdout.read() == b"got\n"
    assert running.wait(30) == 3


def test_foreground_passes_signals_on(host: Host) -> None:
    script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    running = host.start("run", "--rm", "--", "bash", "-c", script, stdout=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 5


def test_grace_is_a_ceiling_and_everything_ends(host: Host, leaves_nothing: Snapshot) -> None:
    stubborn = "trap '' TERM HUP; setsid sleep 1000 & sleep 1000"
    name = host.run("--", "bash", "-c", stubborn)
    host.ok("stop", "--timeout", "0.3", name)
    assert host.exit(name)["exit_code"] == 137
    host.clear()


def test_end_of_command_ends_the_rest(host: Host, leaves_nothing: Snapshot) -> None:
    assert host.ctl("run", "--rm", "--", "sh", "-c", "setsid sleep 1000 & exit 4").returncode == 4


def test_exit_is_known_when_nobody_watched(host: Host) -> None:
    name = host.run("--", "sh", "-c", "sleep 0.1; exit 11")
    assert host.ctl("wait", name).returncode == 0
    assert host.exit(name)["exit_code"] == 11
    assert host.ok("wait", name).split() == ["11"]
    listed = host.json("ls", "--json")
    assert next(each for each in listed if each["name"] == name)["exit"]["code"] == 11


def test_killed_init_is_137(host: Host, leaves_nothing: Snapshot) -> None:
    name = host.run("--", "sleep", "1000")
    state = host.state(name)
    pidfd = os.pidfd_open(state["pid"])
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    assert host.ok("wait", name).split() == ["137"]
    host.clear()


def test_idle_container_lives_until_stopped(host: Host) -> None:
    name = host.run()
    listed = host.json("ls", "--json")
    assert [(each["name"], each["state"]) for each in listed] == [(name, "running")]
    host.ok("stop", name)
    assert host.exit(name)["exit_code"] == 0


def test_stale_socket_is_replaced_and_live_one_refused(host: Host) -> None:
    name = host.run()
    refused = host.ctl("run", "--detach", "--name", name)
    assert refused.returncode == 125
    assert name.encode() in refused.stderr
    assert refused.stderr.count(b"\n") == 1
    host.ok("stop", name)
    host.run(name=name)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--root", "/nonexistent", "--", "true"], 125, "/nonexistent"),
        (["--", "/no/such/command"], 127, "/no/such/command"),
        (["--", "no-such-command"], 127, "no-such-command"),
        (["--", "/etc/passwd"], 126, "/etc/passwd"),
        (["-u", "nobody-here", "--", "true"], 125, "nobody-here"),
        (["--name", "a/b", "--", "true"], 125, "a/b"),
        (["-w", "/not/there", "--", "true"], 125, "/not/there"),
        (["-v", "nonsense", "--", "true"], 125, "nonsense"),
        (["-e", "=x", "--", "true"], 125, "=x"),
        (["--memory", "lots", "--", "true"], 125, "lots"),
        (["--hostname", "a b", "--", "true"], 125, "a b"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    host: Host, leaves_nothing: Snapshot, words: list[str], status: int, said: str
) -> None:
    done = host.ctl("run", *words)
    assert done.returncode == status, done.stderr
    assert said in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    shared = {"locks", "networks", "seccomp"}
    assert {each.name for each in host.run_dir.iterdir()} <= shared


def test_root_without_the_command(host: Host) -> None:
    done = host.ctl("run", "--root", str(busybox_root()), "--", "python3")
    assert done.returncode == 127
    assert b"python3" in done.stderr


def test_no_such_target(host: Host) -> None:
    for verb in ("ps", "stats", "stop", "kill"):
        done = host.ctl(verb, "nowhere")
        assert done.returncode == 125, verb
        assert b"nowhere" in done.stderr
        assert done.stderr.count(b"\n") == 1
    done = host.ctl("exec", "nowhere", "true")
    assert done.returncode == 125


def test_dead_target_says_how_it_ended(host: Host) -> None:
    name = host.run("--", "sh", "-c", "exit 6")
    host.ctl("wait", name)
    done = host.ctl("exec", name, "true")
    assert done.returncode == 125
    assert b"6" in done.stderr


def test_control_path_in_use(host: Host) -> None:
    name = host.run()
    other = host.ctl("run", "--control", str(host.run_dir / name / "control.sock"), "--", "true")
    assert other.returncode == 125
    assert host.inside(name, "echo", "still") == "still\n"


def test_describe_and_stats(host: Host) -> None:
    name = host.run("--", "sleep", "1000")
    stats = json.loads(host.ok("stats", "--json", name))
    stats = stats[0] if isinstance(stats, list) else stats
    assert stats["processes"] == 2
    assert stats["memory"] > 0
    assert [each["name"] for each in stats["interfaces"]] == ["lo"]
    assert stats["uptime"] > 0
