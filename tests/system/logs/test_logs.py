"""Logs of real containers: kept, rotated, followed, and never in the way of who writes them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyinit.spec.log_record import parse
from tests.support.containers import Host
from tests.support.following import following

pytestmark = pytest.mark.root

# Writes what comes down a FIFO, so that a test decides when.
WRITER = """
mkfifo /tmp/in
exec 3<>/tmp/in
while read -r line <&3; do eval "$line"; done
"""


def logs_of(host: Host, name: str) -> Path:
    return host.run_dir / name / "logs"


def tell(host: Host, name: str, command: str) -> None:
    """Have the main command run a line of shell, and wait until it has."""
    line = f"{command}; echo > /tmp/done"
    script = "until [ -p /tmp/in ]; do sleep 0.01; done; mkfifo /tmp/done; "
    script += 'printf "%s\\n" "$1" > /tmp/in; read -r _ < /tmp/done; rm /tmp/done'
    host.inside(name, "sh", "-c", script, "sh", line)


def test_lines_are_kept_as_the_cri_has_them(host: Host) -> None:
    name = host.run("--", "sh", "-c", "echo one; echo two >&2; printf three; exit 3")
    assert host.ok("wait", name) == "3\n"
    lines = (logs_of(host, name) / "main.log").read_bytes().splitlines()
    records = [parse(line) for line in lines]
    assert {(r.stream, r.partial, r.text) for r in records if r} == {
        ("stdout", False, b"one"),
        ("stderr", False, b"two"),
        ("stdout", False, b"three"),
    }
    times = [record.time for record in records if record]
    assert times == sorted(times)
    done = host.ctl("logs", name)
    assert (done.stdout, done.stderr) == (b"one\nthree\n", b"two\n")


def test_which_lines(host: Host) -> None:
    name = host.run("--", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; done")
    host.ok("wait", name)
    assert host.ok("logs", "-n", "2", name) == "4\n5\n"
    assert host.ok("logs", "--tail", "0", name) == ""
    assert host.ok("logs", "--since", "1h", name) == "1\n2\n3\n4\n5\n"
    assert host.ok("logs", "--until", "1h", name) == ""
    assert host.ok("logs", "--service", "main", "-n1", name) == "5\n"
    stamped = host.ok("logs", "-t", "-n1", name).split()
    assert stamped[1] == "5"
    assert host.ok("logs", "--since", stamped[0], name).endswith("5\n")
    last = json.loads(host.ok("logs", "--json", "-n1", name))
    assert (last["text"], last["time"]) == ("5", stamped[0])
    refused = host.ctl("logs", "--service", "web", name)
    assert refused.returncode == 125
    assert b"there is main" in refused.stderr


def test_rotation_is_followed_to_the_end(host: Host) -> None:
    name = host.run("--log-size", "64k", "--log-count", "30", "--", "sh", "-c", WRITER)
    with following(host, "logs", "-f", name, stdout=subprocess.PIPE) as follower:
        tell(host, name, "i=0; while [ $i -lt 6000 ]; do i=$((i+1)); echo line-$i-$$$$$$$$; done")
        host.ok("stop", name)
        assert follower.stdout is not None
        output = follower.stdout.read().decode()
    found = [int(line.split("-")[1]) for line in output.splitlines()]
    assert found == list(range(1, 6001))
    files = sorted(logs_of(host, name).glob("main.log*"))
    assert 4 < len(files) < 30
    assert all(file.stat().st_size <= 64 << 10 for file in files)


def test_files_are_bounded_in_size_and_number(host: Host) -> None:
    name = host.run("--log-size", "64k", "--log-count", "3", "--", "seq", "1", "100000")
    host.ok("wait", name)
    files = sorted(file.name for file in logs_of(host, name).glob("main.log*"))
    assert files == ["main.log", "main.log.1", "main.log.2"]
    assert sum((logs_of(host, name) / file).stat().st_size for file in files) <= 3 * 64 << 10
    lines = host.ok("logs", name).splitlines()
    assert lines[-1] == "100000"
    assert lines == [str(number) for number in range(int(lines[0]), 100001)]


def test_through_the_socket(host: Host) -> None:
    name = host.run("--", "sh", "-c", WRITER)
    socket = str(host.run_dir / name / "control.sock")
    tell(host, name, "echo one; echo two")
    assert host.ok("logs", "-n1", socket) == "[main] two\n"
    with following(host, "logs", "-f", socket, stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"[main] one\n"
        assert follower.stdout.readline() == b"[main] two\n"
        tell(host, name, "echo three")
        assert follower.stdout.readline() == b"[main] three\n"
        host.ok("stop", name)
        assert follower.stdout.read() == b""
        assert follower.wait(30) == 0


def test_a_line_without_end_stays_small_and_init_answers(host: Host) -> None:
    """64 MB without a newline, as fast as it goes."""
    name = host.run("--log-size", "1m", "--log-count", "2", "--", "sh", "-c", WRITER)
    tell(host, name, "head -c 1000000 /dev/zero | tr '\\0' x")
    before = resident(host, name)
    with following(host, "logs", "-f", "-n0", name, stdout=subprocess.DEVNULL) as follower:
        tell(host, name, "head -c 64000000 /dev/zero | tr '\\0' x")
        assert host.inside(name, "echo", "alive") == "alive\n"
        assert resident(host, name) < before + (12 << 10)
        host.ok("stop", name)
        follower.wait(30)
    lines = (logs_of(host, name) / "main.log").read_bytes().splitlines()
    assert all(len(line) < 17000 and (b" stdout P x" in line) for line in lines[:-1])


def resident(host: Host, name: str) -> int:
    """KiB that PID 1 holds in memory."""
    status = Path(f"/proc/{host.state(name)['pid']}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.fixture
def small_disk(host: Host) -> Iterator[Host]:
    """The containers' folders are on a disk of 1 MB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(host.run_dir)]
    subprocess.run(mount, check=True)
    yield host
    host.clear()
    subprocess.run(["umount", str(host.run_dir)], check=True)


def test_a_full_disk_costs_lines_and_time_of_nobody(small_disk: Host) -> None:
    host = small_disk
    name = host.run("--", "sh", "-c", WRITER)
    (host.run_dir / "hog").write_bytes(bytes(600_000))
    tell(host, name, "echo before")
    tell(host, name, "seq 1 100000")
    assert host.inside(name, "echo", "alive") == "alive\n"
    (host.run_dir / "hog").unlink()
    tell(host, name, "echo after")
    host.ok("stop", name)
    done = host.ctl("logs", name)
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1]) == (b"before", b"after")
    assert len(lines) < 100_000
    notes = [note for note in done.stderr.splitlines() if b"[pyinit]" in note]
    missing = sum(int(note.split()[1]) for note in notes)
    assert len(lines) + missing == 100_002
    assert any(b"No space left on device" in note for note in notes)


SERVICES = """
[services.web]
command = ["sh", "-c", "echo up; seq 1 3000; exec sleep 1000"]
log.max-size = "8k"
log.max-files = 2
[services.quiet]
command = ["sh", "-c", "echo nobody hears this; exec sleep 1000"]
log.keep = false
"""


def test_each_service_has_a_log_with_bounds_of_its_own(host: Host, tmp_path: Path) -> None:
    (tmp_path / "services.toml").write_text(SERVICES)
    name = host.run("--services", str(tmp_path / "services.toml"), "--", "sh", "-c", WRITER)
    tell(host, name, "echo main")
    with following(host, "logs", "-f", name, stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        for line in follower.stdout:
            if line == b"[web] 3000\n":
                break
    host.ok("stop", name)
    files = {file.name: file.stat().st_size for file in logs_of(host, name).iterdir()}
    assert files.keys() == {"init.log", "main.log", "web.log", "web.log.1"}
    assert max(files["web.log"], files["web.log.1"]) <= 8 << 10
    assert host.ok("logs", "--service", "main", name) == "main\n"
    last = host.ok("logs", "-n", "1", name).splitlines()
    assert sorted(last) == ["[main] main", "[web] 3000"]


def test_what_is_shown_in_the_foreground_can_be_logged_too(host: Host) -> None:
    host.made.append("shown")
    command = ["sh", "-c", "head -c 300000 /dev/zero; echo; echo bad >&2; cat; exit 4"]
    done = host.ctl("run", "--log", "-i", "--name", "shown", "--", *command, input=b"end")
    assert (done.returncode, done.stderr) == (4, b"bad\n")
    assert done.stdout == bytes(300_000) + b"\nend"
    logged = host.ctl("logs", "shown")
    assert (logged.stdout, logged.stderr) == (bytes(300_000) + b"\nend\n", b"bad\n")
    assert host.ctl("run", "--log", "--tty", "true").returncode == 125


def test_without_being_asked_the_foreground_is_not_logged(host: Host) -> None:
    host.made.append("shown")
    assert host.ok("run", "--name", "shown", "--", "echo", "hello") == "hello\n"
    assert host.ok("logs", "shown") == ""


def test_options_that_can_not_be(host: Host) -> None:
    for words in (["--log-size", "1k"], ["--log-count", "0"], ["--log-size", "much"]):
        refused = host.ctl("run", *words, "true")
        assert refused.returncode == 125
        assert len(refused.stderr.splitlines()) == 1
