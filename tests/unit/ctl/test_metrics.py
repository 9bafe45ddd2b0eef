"""What containers use, all of them at once: for Prometheus and as a table."""

from __future__ import annotations

import json
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from pyinit_ctl.gather import Answer
from pyinit_ctl.metrics import exposition
from pyinit_ctl.registry import Target
from pyinit_ctl.results import Container, Usage, convert
from pyinit_ctl.verbs import metrics, stats
from tests.support.ctl import ctl
from tests.support.toy_server import ToyServer, answering, container_info, usage


def samples(page: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_every_number_has_a_name_and_what_is_not_counted_is_left_out() -> None:
    answer = Answer(
        "web",
        convert(container_info(started=5.0, execs=2), "container", Container),
        convert(usage(), "stats", Usage),
    )
    found = samples(exposition([answer, Answer("gone", reason="ended")]).decode())
    assert found["pyinit_up", "web"] == 1
    assert found["pyinit_up", "gone"] == 0
    assert found["pyinit_start_time_seconds", "web"] == 5
    assert found["pyinit_execs", "web"] == 2
    assert found["pyinit_cpu_seconds_total", "web"] == 1.5
    assert found["pyinit_memory_bytes", "web"] == 3 << 20
    assert found["pyinit_oom_kills_total", "web"] == 0
    assert found["pyinit_network_transmit_packets_total", "web", "eth0"] == 1
    assert ("pyinit_memory_limit_bytes", "web") not in found
    assert not [key for key in found if "gone" in key and key[0] != "pyinit_up"]


def test_metrics_of_a_target(run_dir: Path, server: ToyServer) -> None:
    server.handlers["Describe"] = answering(container_info())
    server.handlers["Stats"] = answering(usage())
    page = ctl(run_dir, "metrics", "web").stdout.decode()
    assert samples(page)["pyinit_processes", "web"] == 3
    found = json.loads(ctl(run_dir, "metrics", "--json", "web").stdout)
    assert found[0]["usage"]["processes"] == 3


def test_without_a_container_there_is_nothing_to_tell(run_dir: Path) -> None:
    assert ctl(run_dir, "stats", "--json").stdout == b"[]\n"
    assert not samples(ctl(run_dir, "metrics").stdout.decode())
    assert ctl(run_dir, "stats", "--stream").returncode == 125


def test_one_that_does_not_answer_is_said_to_be_silent(run_dir: Path, server: ToyServer) -> None:
    from pyinit_ctl.gather import ask

    server.close()
    [answer] = ask([Target(str(server.path), "web")])
    assert (answer.name, answer.usage) == ("web", None)
    assert answer.reason
    assert stats._row(answer)[:2] == ("web", "silent")
    assert metrics.exposition([answer])
