"""Services in real containers: in which order they start, and what they are given."""

from __future__ import annotations

import json

import pytest

from tests.support.containers import Host
from tests.support.supervised import Stage

pytestmark = pytest.mark.root

PYTHON = "/usr/bin/python3"

NOTIFIES = f"""
[services.server]
type = "notify"
command = ["{PYTHON}", "-c", '''
import os, socket, time
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.connect(os.environ["NOTIFY_SOCKET"])
sock.send(b"STATUS=warming up")
while not os.path.exists("/tmp/go"):
    time.sleep(0.01)
sock.send(b"READY=1\\nSTATUS=serving")
time.sleep(1000)
''']
[services.client]
command = "sleep 1000"
requires = ["server"]
"""


def test_a_client_waits_until_its_server_is_ready(stage: Stage) -> None:
    with stage.run(NOTIFIES) as container:
        container.until(lambda: container.service("server").text == "warming up")
        assert container.states() == {"server": "starting", "client": "waiting"}
        waits = {each.service: each for each in container.why()}
        assert waits["client"].on == ["server"]
        container.output("touch", "/tmp/go")
        container.until_state("client", "running")
        assert container.service("server").text == "serving"
        assert container.why() == []


ONESHOTS = """
[services.folder]
type = "oneshot"
command = "sh -c 'sleep 0.2; mkdir /tmp/data'"
[services.content]
type = "oneshot"
command = "sh -c 'echo content > /tmp/data/file'"
requires = ["folder"]
[services.reader]
command = "sh -c 'cat /tmp/data/file; exec sleep 1000'"
requires = ["content"]
"""


def test_oneshots_have_ended_before_what_requires_them(stage: Stage) -> None:
    with stage.run(ONESHOTS) as container:
        container.until_state("reader", "running")
        assert container.states() == {
            "folder": "completed",
            "content": "completed",
            "reader": "running",
        }
        container.until(lambda: container.log("reader") == ["content"])


def test_s6_readiness(stage: Stage) -> None:
    toml = """
    [services.web]
    type = "notify"
    notify-fd = 7
    command = "sh -c 'echo >&7; exec 7>&-; exec sleep 1000'"
    """
    with stage.run(toml) as container:
        container.until_state("web", "running")


def test_what_requires_a_failure_fails(stage: Stage) -> None:
    toml = """
    [services.broken]
    type = "oneshot"
    command = "false"
    [services.after]
    command = "sleep 1000"
    requires = ["broken"]
    [services.beside]
    command = "sleep 1000"
    wants = ["broken"]
    """
    with stage.run(toml) as container:
        container.until_state("after", "failed")
        assert "broken" in container.service("after").reason
        container.until_state("beside", "running")


SURROUNDINGS = f"""
[services.probe]
type = "oneshot"
user = "nobody"
group = "mail"
cwd = "/var"
umask = "0027"
env = {{ GREETING = "hello there" }}
env-files = ["-/nowhere"]
rlimits = {{ nofile = "64:128" }}
cap-drop = ["all"]
no-new-privileges = true
command = ["{PYTHON}", "-c", '''
import grp, json, os, resource
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
umask = os.umask(0)
print(json.dumps(dict(
    uid=os.getuid(), group=grp.getgrgid(os.getgid()).gr_name, cwd=os.getcwd(),
    umask=oct(umask), greeting=os.environ["GREETING"], user=os.environ["USER"],
    nofile=resource.getrlimit(resource.RLIMIT_NOFILE), leader=os.getsid(0) == os.getpid(),
    caps=status["CapBnd"].strip(), nnp=status["NoNewPrivs"].strip(),
    fds=sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
)))
''']
"""


def test_surroundings(stage: Stage) -> None:
    with stage.run(SURROUNDINGS, "--", "sleep", "1000") as container:
        container.until_state("probe", "completed")
        container.until(lambda: container.log("probe"))
        assert json.loads(container.log("probe")[0]) == {
            "uid": 65534,
            "group": "mail",
            "cwd": "/var",
            "umask": "0o27",
            "greeting": "hello there",
            "user": "nobody",
            "nofile": [64, 128],
            "leader": True,
            "caps": "0000000000000000",
            "nnp": "1",
            "fds": [0, 1, 2],
        }


def test_limits_of_a_service_are_its_own(stage: Stage) -> None:
    toml = """
    [services.small]
    command = "sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; wait'"
    limits = { pids = 5 }
    [services.large]
    command = "sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo all; wait'"
    """
    with stage.run(toml) as container:
        container.until(lambda: any("fork" in line for line in container.log("small")))
        container.until(lambda: container.log("large") == ["all"])


def test_a_command_waits_for_the_services(stage: Stage) -> None:
    host = stage.host
    toml = """
    [services.first]
    type = "oneshot"
    command = "sh -c 'sleep 0.3; echo done > /tmp/first'"
    """
    done = host.ctl("run", "--rm", "--services", stage.write(toml), "--", "cat", "/tmp/first")
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_output_of_services_alone_is_shown(stage: Stage) -> None:
    toml = """
    [services.one]
    type = "oneshot"
    command = "sh -c 'echo hello; echo sorry >&2'"
    [services.two]
    type = "oneshot"
    command = "printf without-newline"
    log = { prefix = "second" }
    [services.silent]
    type = "oneshot"
    command = "echo nothing"
    log = { keep = false }
    """
    done = stage.host.ctl("run", "--rm", "--services", stage.write(toml))
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == [b"one | hello", b"second | without-newline"]
    assert done.stderr == b"one | sorry\n"


def test_every_fault_before_anything_is_made(host: Host, stage: Stage) -> None:
    path = stage.write('[services.a]\ncomand = "x"\n[services.b]\ncommand="x"\nwants=["c"]\n')
    done = host.ctl("run", "--name", "bad", "--services", path)
    assert done.returncode == 125
    assert done.stderr.decode().splitlines() == [
        f"pyinit-ctl: {path}:1:11: `command` is missing",
        f"pyinit-ctl: {path}:2:1: unknown key `comand`; did you mean `command`?",
        f"pyinit-ctl: {path}:5:8: `wants`: unknown service `c`",
    ]
    assert not (host.run_dir / "bad").exists()


def test_a_command_that_is_not_there_is_127(stage: Stage) -> None:
    with stage.run("[services.a]\ncommand = 'not-there'\n") as container:
        assert container.end()["exit_code"] == 127
