"""The same `run` by an ordinary user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.users import SPARE, UID, User, ranged_user, user

__all__ = ["ranged_user", "user"]

pytestmark = pytest.mark.root


def test_root_inside_is_the_user_outside(user: User) -> None:
    output = user.ok("run", "--rm", "--", "sh", "-c", "id -u; cat /proc/self/uid_map; echo $$")
    assert output.split() == ["0", "0", str(UID), "1", output.split()[-1]]


def test_the_default_root_is_the_hosts_and_written_to_in_vain(user: User) -> None:
    script = "touch /etc/pyinit-was-here /usr/pyinit-was-here && ls -d /etc/pyinit-was-here"
    assert user.ok("run", "--rm", "--", "sh", "-c", script) == "/etc/pyinit-was-here\n"
    assert not Path("/etc/pyinit-was-here").exists()
    assert not Path("/usr/pyinit-was-here").exists()


def test_a_range_of_ids_gives_other_users_inside(ranged_user: User) -> None:
    script = "cat /proc/self/uid_map; stat -c %u /dev/pts; touch /tmp/f; chown 33 /tmp/f"
    lines = ranged_user.ok("run", "--rm", "--", "sh", "-c", script).splitlines()
    assert lines[0].split() == ["0", str(UID), "1"]
    assert lines[1].split() == ["1", str(SPARE), "65536"]
    assert ranged_user.ok("run", "--rm", "--user", "33", "--", "id", "-u") == "33\n"


def test_a_device_of_the_host(user: User) -> None:
    script = "head -c 3 /dev/nought | wc -c"
    device = "/dev/zero:/dev/nought"
    assert user.ok("run", "--rm", "--device", device, "--", "sh", "-c", script) == "3\n"


def test_keep_id_runs_as_oneself(ranged_user: User) -> None:
    output = ranged_user.ok("run", "--rm", "--userns", "keep-id", "--", "id", "-u")
    assert output == f"{UID}\n"


def test_one_id_is_all_there_is_without_a_range(user: User) -> None:
    assert "map more ids" in user.refused("run", "--rm", "--user", "33", "--", "true")
    assert "/etc/subuid" in user.refused("run", "--userns", "keep-id", "--", "true")


def test_a_range_that_is_not_theirs_is_refused(ranged_user: User) -> None:
    ids = f"0:{UID}:1,1:{SPARE + 1_000_000}:10"
    assert "/etc/subuid" in ranged_user.refused("run", "--userns", ids, "--", "true")


@pytest.mark.parametrize(
    ("words", "way"),
    [
        (("--net", "bridge"), "--net host"),
        (("--userns", "host"), "leave it out"),
        (("--pin", "net"), "--net container:"),
        (("--oom-score-adj", "-500"), "oom-score-adj"),
    ],
)
def test_what_takes_root_says_so_and_names_the_way_round(
    user: User, words: tuple[str, ...], way: str
) -> None:
    assert way in user.refused("run", *words, "--", "true")
    assert not list(user.run_dir.glob("c-*"))


@pytest.mark.parametrize("kind", ["pid", "ipc", "net", "uts"])
def test_a_namespace_of_the_host_can_be_shared(user: User, kind: str) -> None:
    script = f"readlink /proc/self/ns/{kind}; grep -c . /proc/mounts; ls /sys /dev > /dev/null"
    inside = user.ok("run", "--rm", f"--{kind}", "host", "--", "sh", "-c", script).split()[0]
    assert inside == str(Path(f"/proc/self/ns/{kind}").readlink())


def test_clocks_can_be_ahead(user: User) -> None:
    offsets = "monotonic=100000,boottime=5000000"
    script = "cut -d. -f1 /proc/uptime"
    up = int(user.ok("run", "--rm", "--time-offset", offsets, "--", "sh", "-c", script))
    assert up >= 5_000_000


def test_nothing_is_left_but_the_record(user: User) -> None:
    user.ok("run", "--name", "once", "--", "true")
    left = {path.name for path in (user.run_dir / "once").iterdir()}
    assert left <= {"state.json", "exit.json", "logs", "hosts", "hostname", "resolv.conf"}
