"""What containers use, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pyinit_ctl.gather import Answer
from pyinit_ctl.results import Container, Interface, Usage

Family = type[CounterMetricFamily] | type[GaugeMetricFamily]

# Of the container: name without prefix, what it says, where it comes from.
_CONTAINER: Sequence[tuple[str, str, Callable[[Container], float]]] = (
    ("execs", "Execs that run.", lambda each: each.execs),
    ("services", "Services of the container.", lambda each: each.services),
    ("start_time_seconds", "Start, in seconds since 1970.", lambda each: each.started),
)

# None where the container's cgroups don't count it, or there is no limit.
_GAUGES: Sequence[tuple[str, str, Callable[[Usage], float | None]]] = (
    ("memory_bytes", "Memory in use.", lambda usage: usage.memory),
    ("memory_peak_bytes", "Most memory that was in use.", lambda usage: usage.memory_peak),
    ("memory_limit_bytes", "Memory at most.", lambda usage: usage.memory_limit),
    ("processes", "Processes.", lambda usage: usage.processes),
    ("processes_limit", "Processes at most.", lambda usage: usage.processes_limit),
)
_COUNTERS: Sequence[tuple[str, str, Callable[[Usage], float | None]]] = (
    ("cpu_user_seconds", "CPU time in programs.", lambda usage: usage.cpu_user),
    ("cpu_system_seconds", "CPU time in the kernel.", lambda usage: usage.cpu_system),
    ("cpu_seconds", "CPU time.", lambda usage: usage.cpu),
    ("cpu_throttled_seconds", "Time kept from running.", lambda usage: usage.cpu_throttled),
    ("oom_kills", "Processes killed for want of memory.", lambda usage: usage.oom_kills),
    ("io_read_bytes", "Bytes read from disks.", lambda usage: usage.io_read),
    ("io_written_bytes", "Bytes written to disks.", lambda usage: usage.io_write),
)
_NETWORK: Sequence[tuple[str, str, Callable[[Interface], float]]] = (
    ("network_receive_bytes", "Bytes received.", lambda each: each.rx_bytes),
    ("network_receive_packets", "Packets received.", lambda each: each.rx_packets),
    ("network_receive_errors", "Errors while receiving.", lambda each: each.rx_errors),
    ("network_receive_dropped", "Packets dropped when received.", lambda each: each.rx_dropped),
    ("network_transmit_bytes", "Bytes sent.", lambda each: each.tx_bytes),
    ("network_transmit_packets", "Packets sent.", lambda each: each.tx_packets),
    ("network_transmit_errors", "Errors while sending.", lambda each: each.tx_errors),
    ("network_transmit_dropped", "Packets dropped when sent.", lambda each: each.tx_dropped),
)


def exposition(answers: Sequence[Answer]) -> bytes:
    """The answers as a page for Prometheus to scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(answers))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = answers

    def collect(self) -> Iterator[Metric]:
        answers = self._answers
        up = ((each.name, float(each.usage is not None)) for each in answers)
        yield _family(GaugeMetricFamily, "up", "Whether the container answers.", up)
        described = [(each.name, each.container) for each in answers if each.container]
        for name, about, value in _CONTAINER:
            yield _family(GaugeMetricFamily, name, about, ((n, value(c)) for n, c in described))
        used = [(each.name, each.usage) for each in answers if each.usage]
        for kind, table in ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS)):
            for name, about, usage_value in table:
                yield _family(kind, name, about, ((n, usage_value(u)) for n, u in used))
        for name, about, counted in _NETWORK:
            yield _network(name, about, used, counted)


def _family(
    kind: Family, name: str, about: str, values: Iterable[tuple[str, float | None]]
) -> Metric:
    family = kind(f"pyinit_{name}", about, labels=["container"])
    for container, value in values:
        if value is not None:
            family.add_metric([container], value)
    return family


def _network(
    name: str,
    about: str,
    used: Iterable[tuple[str, Usage]],
    counted: Callable[[Interface], float],
) -> Metric:
    family = CounterMetricFamily(f"pyinit_{name}", about, labels=["container", "interface"])
    for container, usage in used:
        for interface in usage.interfaces:
            family.add_metric([container, interface.name], counted(interface))
    return family
