"""What can't be is told in one line, and leaves nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.containers import Host
from tests.support.ctl import LIMIT, environment, words

pytestmark = pytest.mark.root


def refused(host: Host, *arguments: str, **options: object) -> str:
    done = host.ctl(*arguments, **options)
    text = done.stderr.decode()
    assert done.returncode == 125, (arguments, done.returncode, done.stdout, text)
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def nothing_made(host: Host) -> bool:
    return host.json("ls", "--json") == [] and not list(host.run_dir.glob("networks/*.json"))


BAD = [
    ("--name", "a/b"),
    ("--name", ".."),
    ("--name", "locks"),
    ("--name", "x" * 64),
    ("--root", "/nowhere"),
    ("--layer", "/nowhere"),
    ("--root", "/etc/passwd"),
    ("--root", "/", "--layer", "/"),
    ("--root", "/", "--upper", "/u"),
    ("--upper", "/nowhere/upper"),
    ("-v", "/etc"),
    ("-v", "/nowhere:/x"),
    ("-v", "/etc:relative"),
    ("-v", "/etc:/proc"),
    ("-v", "/etc:/x:rx"),
    ("--tmpfs", "relative"),
    ("--device", "/dev/missing"),
    ("--device", "/etc/passwd"),
    ("--device", "zero"),
    ("--device", "/dev/zero:"),
    ("--device", "/dev/zero:zero"),
    ("--device", "/dev/zero:/dev"),
    ("--device", "/dev/zero:/dev/z:r"),
    ("--tmpfs", "/x:size=lots"),
    ("--tmpfs", "/x:mode=9"),
    ("--tmpfs", "/x:frob"),
    ("--hostname", "-x-"),
    ("--env", "=x"),
    ("-w", "relative"),
    ("-w", "/nowhere"),
    ("--user", "nosuchuser"),
    ("--user", "99999999999"),
    ("--user", "root:nosuchgroup"),
    ("--net", "frob"),
    ("--net", "bridge:"),
    ("--net", "bridge:a/b"),
    ("--net", "bridge,subnet=10.0.0.0/33"),
    ("--net", "container:nobody"),
    ("--net", "/nowhere"),
    ("--net", "/etc/passwd"),
    ("-p", "80"),
    ("-p", "80:80"),
    ("--net", "bridge", "-p", "0:80"),
    ("--net", "bridge", "-p", "80:80/sctp"),
    ("--dns", "localhost"),
    ("--add-host", "x"),
    ("--add-host", "x:host-gateway"),
    ("--pid", "frob"),
    ("--pid", "/proc/self/ns/net"),
    ("--ipc", "container:nobody"),
    ("--uts", "/etc/passwd"),
    ("--cgroupns", "frob"),
    ("--userns", "keep-id"),
    ("--userns", "frob"),
    ("--userns", "1:2:3"),
    ("--userns", "0:0:10,5:100:10"),
    ("--userns", "0:0:99999999999"),
    ("--time", "frob"),
    ("--time-offset", "frob=1"),
    ("--time-offset", "monotonic=x"),
    ("--time-offset", "monotonic=-9999999999"),
    ("--time", "host", "--time-offset", "monotonic=1"),
    ("--pin", "pid"),
    ("--pin", "frob"),
    ("--pin", "net", "--rm"),
    ("--memory", "lots"),
    ("--memory", "1"),
    ("--memory", "64m", "--memory-swap", "32m"),
    ("--cpus", "x"),
    ("--cpus", "0.001"),
    ("--cpu-weight", "0"),
    ("--cpu-weight", "x"),
    ("--cpuset-cpus", "x"),
    ("--cpuset-cpus", "4095"),
    ("--pids-limit", "x"),
    ("--device-read-bps", "/dev/null:1m"),
    ("--device-read-bps", "1m"),
    ("--cgroup-parent", "../.."),
    ("--cap-add", "frob"),
    ("--cap-add", "CHOWN", "--cap-drop", "CHOWN"),
    ("--security-opt", "frob"),
    ("--security-opt", "seccomp=/nowhere"),
    ("--ulimit", "frob=1"),
    ("--ulimit", "nofile=5:1"),
    ("--umask", "9"),
    ("--oom-score-adj", "2000"),
    ("--sysctl", "kernel.panic=1"),
    ("--detach", "--tty"),
    ("--detach", "--interactive"),
    ("--sysctl", "net.x"),
    ("--sysctl", "net.nosuch.key=1"),
    ("--net", "host", "--sysctl", "net.ipv4.ip_forward=1"),
    ("--ipc", "host", "--sysctl", "kernel.shmmax=1"),
    ("--spec", "/nowhere"),
    ("--stop-timeout", "x"),
    ("--stop-timeout", "-1"),
    ("--log-count", "x"),
    ("--log-count", "0"),
    ("--log-size", "1"),
    ("--io-weight", "1.5"),
    ("--memory",),
    ("--rm=x",),
    ("--frob",),
]


@pytest.mark.parametrize("bad", BAD, ids=" ".join)
def test_a_bad_value_is_one_line(host: Host, bad: tuple[str, ...]) -> None:
    refused(host, "run", *bad, "--", "true")
    assert nothing_made(host)


GOOD = {"name": "fromfile", "command": ["cat", "/etc/hostname"]}


def test_a_spec_file_makes_what_the_options_make(host: Host, tmp_path: Path) -> None:
    shown = json.loads(host.ok("run", "--name", "x", "--dry-run", "--json", "--", "echo", "hello"))
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(shown["spec"]))
    assert host.ok("run", "--spec", str(path)) == "hello\n"
    assert host.ok("run", "--spec", str(path), "--name", "y", "--", "echo", "bye") == "bye\n"
    again = json.loads(host.ok("run", "--spec", str(path), "--dry-run", "--json"))
    assert again == shown
    assert any("mount proc" in line for line in shown["mounts"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"frob": 1}, "frob"),
        ({"name": None}, "name"),
        ({"name": "a/b"}, "a/b"),
        ({"root": {"frob": "/"}}, "frob"),
        ({"limits": {"memory": "64m"}}, "memory"),
        ({"network": {"mode": "frob"}}, "frob"),
        ({"volumes": [{"source": "x", "target": "/x"}]}, "volume path"),
        ({"namespaces": {"mnt": "host"}}, "mnt"),
        ({"pins": ["pid"]}, "pid"),
        ({"privileges": {"capabilities": ["FROB"]}}, "FROB"),
    ],
)
def test_a_wrong_spec_names_its_field(
    host: Host, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(GOOD | change))
    message = refused(host, "run", "--spec", str(path))
    assert told in message
    assert str(path) in message
    assert nothing_made(host)


def test_a_spec_that_is_none(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    for content in ("", "{", "[]", "null", '{"name": "x"', "\0"):
        path.write_text(content)
        refused(host, "run", "--spec", str(path))
    assert "--memory" in refused(host, "run", "--spec", str(path), "--memory", "64m")
    assert "--rm" in refused(host, "run", "--spec", str(path), "--rm")


def racing(host: Host, *words: str) -> list[tuple[int, str]]:
    """How eight that are started at once end, and what they say."""
    started = [
        host.start("run", *words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    told = [one.communicate(timeout=LIMIT)[1].decode() for one in started]
    return [(one.returncode, text) for one, text in zip(started, told, strict=True)]


LOST = (
    125,
    "pyinit-ctl: a container named 'same' is running: stop it, or choose another name\n",
)


def test_one_name_goes_to_one_of_many(host: Host) -> None:
    host.made.append("same")
    ended = racing(host, "-d", "--name", "same", "--", "sleep", "1000")
    assert sorted(ended) == [(0, ""), *[LOST] * 7]
    assert host.inside("same", "echo", "alive") == "alive\n"


@pytest.mark.usefixtures("leaves_nothing")
@pytest.mark.parametrize("options", [("-d", "--rm"), ("--rm",)], ids=" ".join)
def test_a_name_whose_container_is_about_to_end(host: Host, options: tuple[str, ...]) -> None:
    """One after the other may have it; whoever comes while it is taken is told so."""
    host.made.append("same")
    ended = racing(host, *options, "--name", "same", "--", "true")
    assert set(ended) <= {(0, ""), LOST}
    assert (0, "") in ended


def test_one_address_goes_to_one_of_many(host: Host) -> None:
    wanted = "bridge:pyitest2,subnet=10.77.0.0/24,ip=10.77.0.9"
    racing = [
        host.start(
            *("run", "-d", "--name", f"at{number}", "--net", wanted, "--", "sleep", "1000"),
            stderr=subprocess.PIPE,
        )
        for number in range(3)
    ]
    host.made += ["at0", "at1", "at2"]
    told = [one.communicate(timeout=LIMIT)[1].decode() for one in racing]
    assert sorted(one.returncode for one in racing) == [0, 125, 125]
    assert sum("is taken" in text for text in told) == 2
    assert len(host.json("ls", "--json")) == 1


def test_no_address_is_left(host: Host) -> None:
    net = "bridge:pyitest3,subnet=10.78.0.0/30,subnet6=none"
    host.run("--net", net, "--", "sleep", "1000")
    message = refused(host, "run", "--net", net, "--", "true")
    assert "every address" in message
    assert len(host.json("ls", "--json")) == 1


def test_a_read_only_cgroupfs(host: Host) -> None:
    script = (
        "mount --make-rprivate /;"
        " for at in $(awk '$3 ~ /^cgroup2?$/ {print $2}' /proc/mounts);"
        ' do mount -o remount,bind,ro "$at"; done; exec "$@"'
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", *words("run", "--rm", *arguments)],
            env=environment(host.run_dir),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    limited = run("--memory", "64m", "--", "true")
    assert limited.returncode == 125
    assert "read-only" in limited.stderr.lower()
    assert limited.stderr.count("\n") == 1
    assert run("--", "echo", "without").stdout == "without\n"
    assert nothing_made(host)


@pytest.mark.parametrize("verb", ["ls", "gc", "run -- true", "exec web true", "stats web"])
def test_a_folder_that_can_not_be_looked_at(
    host: Host, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(host, "run_dir", Path("/" + "x" * 300))
    done = host.ctl(*verb.split())
    assert done.returncode == 125
    assert done.stderr.count(b"\n") == 1
    assert b"xxx: File name too long\n" in done.stderr
