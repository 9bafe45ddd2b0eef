"""Services while they run: restarts, health checks, sockets that were opened before, reload."""

from __future__ import annotations

import socket

import pytest

from tests.support.supervised import Stage

pytestmark = pytest.mark.root

PYTHON = "/usr/bin/python3"


def test_always_is_started_again_with_backoff(stage: Stage) -> None:
    toml = """
    [services.web]
    command = "sleep 1000"
    restart = "always"
    backoff = { initial = "10ms", jitter = 0 }
    """
    with stage.run(toml) as container:
        pids = set()
        for restarts in range(3):
            found = container.until_state("web", "running")
            assert found.restarts == restarts
            pids.add(found.pid)
            stage.host.ok("signal", container.name, "web", "KILL")
            container.until(lambda count=restarts: container.service("web").restarts > count)
        assert len(pids) == 3
        assert container.service("web").signal == 9
        seconds = [e["details"] for e in container.events() if e["kind"] == "restarting"]
        assert len(seconds) == 3


def test_attempts_come_to_an_end(stage: Stage) -> None:
    toml = """
    [services.web]
    command = "sh -c 'exit 5'"
    restart = "on-failure"
    backoff = { initial = "10ms", attempts = 2 }
    """
    with stage.run(toml, "--", "sleep", "1000") as container:
        assert container.until_state("web", "failed").code == 5
        assert len(container.order("started")) - 1 == 3


def test_an_unhealthy_service_is_restarted(stage: Stage) -> None:
    toml = """
    [services.web]
    command = "sh -c 'touch /tmp/healthy; exec sleep 1000'"
    restart = "always"
    backoff = { initial = "10ms" }
    [services.web.checks.file]
    exec = ["test", "-e", "/tmp/healthy"]
    period = "100ms"
    threshold = 2
    action = "restart"
    """
    with stage.run(toml) as container:
        container.until(lambda: container.service("web").healthy)
        first = container.service("web").pid
        container.output("rm", "/tmp/healthy")
        container.until(lambda: container.service("web").pid not in (None, first))
        container.until(lambda: container.service("web").healthy)
        assert container.order("unhealthy") == ["web"]


@pytest.mark.parametrize(
    "check",
    ["tcp = 8000", 'http = "http://localhost:8000/"', 'tcp = "127.0.0.1:8000"'],
)
def test_checks_by_the_network(stage: Stage, check: str) -> None:
    toml = f"""
    [services.web]
    command = "{PYTHON} -m http.server 8000"
    checks.port = {{ {check}, period = "100ms" }}
    """
    with stage.run(toml) as container:
        container.until(lambda: container.service("web").healthy)


ACTIVATED = f"""
[services.echo]
restart = "always"
backoff = {{ initial = "10ms" }}
sockets = [{{ listen = "unix:/tmp/echo.sock", name = "front" }}, "tcp:127.0.0.1:7777"]
command = ["{PYTHON}", "-c", '''
import os, socket
assert os.environ["LISTEN_PID"] == str(os.getpid())
assert os.environ["LISTEN_FDS"] == "2"
assert os.environ["LISTEN_FDNAMES"] == "front:unknown"
listener = socket.socket(fileno=3)
while True:
    client, _ = listener.accept()
    data = client.recv(100)
    client.sendall(data)
    client.close()
    if data == b"die":
        os._exit(1)
''']
"""


def test_sockets_outlive_a_restart(stage: Stage) -> None:
    with stage.run(ACTIVATED) as container:
        container.until_state("echo", "running")
        pid = container.host.state(container.name)["pid"]
        for word in (b"one", b"die", b"two", b"die", b"three"):
            # Nobody is refused while it restarts: the socket is init's.
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(f"/proc/{pid}/root/tmp/echo.sock")
                client.sendall(word)
                assert client.recv(100) == word


def test_mainpid_is_followed(stage: Stage) -> None:
    toml = f"""
    [services.web]
    type = "notify"
    command = ["{PYTHON}", "-c", '''
import os, socket, time
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.connect(os.environ["NOTIFY_SOCKET"])
if child := os.fork():
    sock.send(f"READY=1\\nMAINPID={{child}}".encode())
    os._exit(0)
while not os.path.exists("/tmp/go"):
    time.sleep(0.01)
os._exit(6)
''']
    """
    with stage.run(toml, "--", "sleep", "1000") as container:
        pid = container.until_state("web", "running").pid
        container.output("kill", "-0", str(pid))
        container.output("touch", "/tmp/go")
        assert container.until_state("web", "failed").code == 6


def test_reload_restarts_only_what_changed(stage: Stage) -> None:
    toml = """
    [services.same]
    command = "sleep 1000"
    [services.settings]
    command = "sleep 1000"
    [services.command]
    command = "sleep 1000"
    [services.gone]
    command = "sleep 1000"
    """
    changed = """
    [services.same]
    command = "sleep 1000"
    [services.settings]
    command = "sleep 1000"
    stop-timeout = "3s"
    [services.command]
    command = "sleep 2000"
    [services.fresh]
    command = "sleep 1000"
    """
    names = ("same", "settings", "command")
    with stage.run(toml) as container:
        container.until(lambda: set(container.states().values()) == {"running"})
        before = {name: container.service(name).pid for name in names}
        path = stage.write(changed)
        shown = stage.host.ok("reload", "--dry-run", container.name, path)
        assert shown.splitlines() == [
            "+ fresh",
            "- gone",
            "~ settings (goes on running)",
            "    stop-timeout: (default) -> 3.0",
            "~ command (is restarted)",
            '    command: ["sleep", "1000"] -> ["sleep", "2000"]',
        ]
        assert "gone" in container.states()
        assert stage.host.ok("reload", container.name, path) == shown
        container.until(lambda: set(container.states()) == {*names, "fresh"})
        container.until(lambda: set(container.states().values()) == {"running"})
        after = {name: container.service(name).pid for name in names}
        assert [name for name in names if before[name] != after[name]] == ["command"]
        assert stage.host.ok("reload", container.name, path) == "nothing changes\n"


def test_a_container_without_services_can_get_some(stage: Stage) -> None:
    name = stage.host.run()
    stage.host.ok("reload", name, stage.write('[services.web]\ncommand = "sleep 1000"\n'))
    assert stage.host.json("start", "--json", name, "web")[0]["state"] == "running"
    assert stage.host.ok("plan", name) == "web\n"


def test_disabled_services_start_when_asked(stage: Stage) -> None:
    toml = """
    [services.on]
    command = "sleep 1000"
    [services.off]
    command = "sleep 1000"
    startup = "disabled"
    """
    with stage.run(toml) as container:
        container.until_state("on", "running")
        assert container.service("off").state == "inactive"
        stage.host.ok("enable", container.name, "off")
        assert container.service("off").enabled
        stage.host.ok("disable", container.name, "off")
        assert stage.host.json("start", "--json", container.name, "off")[0]["state"] == "running"


def test_a_name_that_is_a_service_and_an_exec(stage: Stage) -> None:
    with stage.run('[services.web]\ncommand = "sleep 1000"\n') as container:
        container.client.call("Exec", command={"argv": ["sleep", "1000"]}, id="web", detach=True)
        done = stage.host.ctl("signal", container.name, "web", "KILL")
        assert (done.returncode, b"--service or --exec" in done.stderr) == (125, True)
        stage.host.ok("signal", "--exec", container.name, "web", "KILL")
        assert container.service("web").state == "running"
        assert stage.host.ctl("signal", container.name, "nope", "KILL").returncode == 125


def test_what_the_events_say_of_ends(stage: Stage) -> None:
    toml = """
    [services.fails]
    command = "sh -c 'exit 3'"
    restart = "on-failure"
    backoff = { initial = "10ms", attempts = 1 }
    [services.never]
    command = "true"
    startup = "disabled"
    [services.web]
    command = "sleep 1000"
    """
    with stage.run(toml, "--", "sleep", "1000") as container:
        container.until_state("fails", "failed")
        stage.host.ok("signal", container.name, "web", "KILL")
        container.until_state("web", "failed")
        events = container.events()
        ends = {e["subject"]: e["details"] for e in events if e["kind"] == "exited"}
        assert ends == {"fails": {"code": 3}, "web": {"signal": 9}}
        (restart,) = [e["details"] for e in events if e["kind"] == "restarting"]
        assert restart["seconds"] == round(restart["seconds"], 3)
        assert "exited web signal=SIGKILL" in stage.host.ok("events", container.name)
        assert container.service("never").since == 0
        assert "disabled   -" in stage.host.ok("services", container.name)
