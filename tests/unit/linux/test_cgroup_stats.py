"""Reading the kernel's cgroup files, from folders that look like groups."""

from __future__ import annotations

from pathlib import Path

from pyinit.linux.cgroup_stats import Usage, UsageReader, flat, number
from pyinit.linux.cgroups import Group, LegacyGroup, PayloadGroups, UnifiedGroup, open_group


def group(folder: Path, **files: str) -> Group:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return open_group(str(folder))


def test_numbers() -> None:
    assert number(b"12\n") == 12
    assert number(b"max\n") is None
    assert number(b"9223372036854771712\n") is None
    assert flat(b"a 1\nb 2\n") == {b"a": 1, b"b": 2}


def test_unified(tmp_path: Path) -> None:
    made = group(
        tmp_path,
        cgroup__controllers="cpu memory\n",
        cpu__stat="usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 3\nnr_throttled 1\n"
        "throttled_usec 5\n",
        memory__current="4096\n",
        memory__max="max\n",
        memory__stat="anon 1\nfile 2\n",
        memory__events="low 0\noom 2\noom_kill 1\n",
        io__stat="8:0 rbytes=3 wbytes=4 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=10 wbytes=0\n",
    )
    assert isinstance(made, UnifiedGroup)
    with made, UsageReader.of_leaf(made) as reader:
        assert reader.read() == Usage(
            cpu_us=30,
            user_us=20,
            system_us=10,
            periods=3,
            throttled=1,
            throttled_us=5,
            memory=4096,
            memory_anonymous=1,
            memory_file=2,
            oom_kills=1,
            read_bytes=13,
            written_bytes=4,
        )
        (tmp_path / "memory.current").write_text("8192\n")
        assert reader.read().memory == 8192


def test_legacy(tmp_path: Path) -> None:
    made = group(
        tmp_path,
        cpuacct__usage="30999\n",
        cpuacct__stat="user 100\nsystem 200\n",
        cpu__stat="nr_periods 3\nnr_throttled 1\nthrottled_time 5000\n",
        memory__usage_in_bytes="4096\n",
        memory__limit_in_bytes="9223372036854771712\n",
        memory__stat="cache 9\ntotal_cache 2\ntotal_rss 1\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        pids__current="2\n",
        pids__max="32\n",
        blkio__throttle__io_service_bytes_recursive="8:0 Read 3\n8:0 Write 4\n"
        "8:0 Total 7\nTotal 7\n",
    )
    assert isinstance(made, LegacyGroup)
    names = ("cpu", "cpuacct", "memory", "pids", "io")
    payload = PayloadGroups(made, dict.fromkeys(names, made))
    with made, UsageReader.of(payload) as reader:
        usage = reader.read()
    assert (usage.cpu_us, usage.throttled_us) == (30, 5)
    assert usage.user_us is not None
    assert usage.system_us == 2 * usage.user_us
    assert (usage.memory, usage.memory_limit, usage.memory_anonymous) == (4096, None, 1)
    assert (usage.memory_file, usage.oom_kills) == (2, 1)
    assert (usage.pids, usage.pids_limit) == (2, 32)
    assert (usage.read_bytes, usage.written_bytes) == (3, 4)
    assert payload.legacy() == [made]


def test_what_is_missing_is_none(tmp_path: Path) -> None:
    with group(tmp_path) as made, UsageReader({"memory": made}, unified=False) as reader:
        assert reader.read() == Usage()
