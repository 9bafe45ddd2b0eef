"""The disk of a container's folder hangs: whoever writes there waits in the kernel. Nobody else
does, and init answers all the while."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import Host
from tests.support.disks import frozen, mounted_disk
from tests.support.supervised import LIMIT_S, Stage

pytestmark = pytest.mark.root

# Both count what they have written, where the test can see it: in the container's /tmp.
SERVICES = """
[services.busy]
command = ["sh", "-c", '''
until test -e /tmp/go; do sleep 0.02; done
seq 1 400000
touch /tmp/all-written
exec sleep 1000''']
[services.beside]
command = ["sh", "-c", "while sleep 0.05; do echo alive; echo x >> /tmp/beats; done"]
[services.flapping]
command = ["sh", "-c", "until test -e /tmp/go; do sleep 0.02; done; exit 1"]
restart = "always"
backoff = { initial = "10ms", limit = "20ms" }
"""


@pytest.fixture
def on_a_disk(host: Host, tmp_path: Path) -> Iterator[Stage]:
    """Makes containers whose folders are on a disk of their own."""
    with mounted_disk(tmp_path, host.run_dir):
        yield Stage(host, tmp_path)
        host.clear()


def beats(output: str) -> int:
    return output.count("x")


def test_services_go_on_and_init_answers(on_a_disk: Stage) -> None:
    host = on_a_disk.host
    with on_a_disk.run(SERVICES, "--", "sleep", "1000") as container:
        container.client.set_timeout(LIMIT_S)
        container.until_state("busy", "running")
        container.until(lambda: container.log("beside"))
        with frozen(host.run_dir):
            container.output("touch", "/tmp/go")
            # 2.7 MB, more than is kept for a disk; and each exec is a line of init's own log.
            container.until(lambda: "all-written" in container.output("ls", "/tmp"))
            container.until(lambda: container.service("flapping").restarts >= 10)
            seen = beats(container.output("cat", "/tmp/beats"))
            container.until(lambda: beats(container.output("cat", "/tmp/beats")) >= seen + 3)
            host.ok("ps", container.name)
            host.ok("services", container.name)
            host.ok("restart", container.name, "beside")
            assert host.inside(container.name, "echo", "alive") == "alive\n"
        host.ok("stop", container.name)
        found = host.ctl("logs", "--service", "busy", container.name)
        lines = found.stdout.decode().split()
        notes = re.findall(r"\[pyinit\] (\d+) records \(\d+ bytes\) are missing", str(found.stderr))
        assert notes, found.stderr
        assert len(lines) + sum(map(int, notes)) == 400_000
        assert "exec ended" in (host.run_dir / container.name / "logs" / "init.log").read_text()


def test_the_end_of_a_container_comes_with_the_disk(on_a_disk: Stage) -> None:
    """Its services end at once, its record is written when that can be."""
    host = on_a_disk.host
    with on_a_disk.run(SERVICES, "--", "sleep", "1000") as container:
        container.client.set_timeout(LIMIT_S)
        container.until_state("busy", "running")
        follow = container.client.stream("Events", follow=True)
        with frozen(host.run_dir):
            container.client.call("Shutdown")
            kinds = [event["kind"] for reply in follow for event in reply["events"]]
            assert kinds[-1] == "ended"
        assert container.end()["exit_code"] == 143
