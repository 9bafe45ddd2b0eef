"""`pyinit-ctl stats`: what a container uses, once or again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from pyinit.errors import UsageError
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.click_options import json_option
from pyinit_ctl.gather import Answer, ask, running
from pyinit_ctl.output import print_json, print_table, size, span
from pyinit_ctl.results import Usage, convert


@click.command("stats")
@click.argument("target", required=False)
@click.option("--stream", is_flag=True, help="Go on until interrupted.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.05, max=1e6),
    default=1.0,
    show_default=True,
    help="Seconds between two answers of --stream.",
)
@json_option
def command(target: str | None, stream: bool, interval: float, as_json: bool) -> None:
    """Show CPU time, memory, processes, I/O and network counters of a container.

    Without a target, a line for each container that runs.
    """
    if target is None:
        if stream:
            raise UsageError("--stream goes with one target: give its name")
        _show_all(ask(running()), as_json)
        return
    with BlockingClient(target) as client:
        if stream:
            _show_stream(_usages(client, interval), as_json)
        elif as_json:
            print_json(client.stats())
        else:
            _show_once(client.stats())


def _usages(client: BlockingClient, interval: float) -> Iterator[Usage]:
    for parameters in client.stream("Stats", interval=interval):
        yield convert(parameters, "stats", Usage)


def _show_all(answers: Sequence[Answer], as_json: bool) -> None:
    if as_json:
        print_json(answers)
        return
    print_table(
        ("NAME", "UPTIME", "CPU TIME", "MEMORY", "LIMIT", "PROCESSES", "RECEIVED", "SENT"),
        [_row(each) for each in answers],
    )


def _row(answer: Answer) -> tuple[object, ...]:
    usage = answer.usage
    if usage is None:
        return answer.name, "silent", *["-"] * 6
    return (
        answer.name,
        span(usage.uptime),
        f"{usage.cpu:.2f}s",
        size(usage.memory),
        size(usage.memory_limit),
        usage.processes,
        size(sum(each.rx_bytes for each in usage.interfaces)),
        size(sum(each.tx_bytes for each in usage.interfaces)),
    )


def _show_once(usage: Usage) -> None:
    rows = [
        ("uptime", span(usage.uptime)),
        (
            "cpu time",
            f"{usage.cpu:.2f}s ({usage.cpu_user:.2f} user, {usage.cpu_system:.2f} system)",
        ),
        ("memory", _of(size(usage.memory), usage.memory_limit and size(usage.memory_limit))),
        ("memory peak", size(usage.memory_peak)),
        ("out of memory", "-" if usage.oom_kills is None else f"{usage.oom_kills} killed"),
        ("processes", _of(str(usage.processes), usage.processes_limit)),
        ("disk", f"{size(usage.io_read)} read, {size(usage.io_write)} written"),
        ("measured by", usage.source),
    ]
    print_table(("WHAT", "USED"), rows)
    if usage.interfaces:
        click.echo()
        print_table(
            ("INTERFACE", "RECEIVED", "PACKETS", "ERRORS", "SENT", "PACKETS", "ERRORS"),
            [
                (
                    each.name,
                    size(each.rx_bytes),
                    each.rx_packets,
                    each.rx_errors + each.rx_dropped,
                    size(each.tx_bytes),
                    each.tx_packets,
                    each.tx_errors + each.tx_dropped,
                )
                for each in usage.interfaces
            ],
        )


def _show_stream(usages: Iterator[Usage], as_json: bool) -> None:
    """One line for each answer; CPU as a share of one processor since the answer before."""
    before: Usage | None = None
    for usage in usages:
        if as_json:
            print_json(usage, indent=None)
        else:
            if before is None:
                click.echo(
                    f"{'CPU':>7} {'MEMORY':>11} {'PROCESSES':>9} {'RECEIVED':>11} {'SENT':>11}"
                )
            received = sum(each.rx_bytes for each in usage.interfaces)
            sent = sum(each.tx_bytes for each in usage.interfaces)
            click.echo(
                f"{_share(before, usage):>7} {size(usage.memory):>11} {usage.processes:>9} "
                f"{size(received):>11} {size(sent):>11}"
            )
        before = usage


def _share(before: Usage | None, now: Usage) -> str:
    if before is None or now.time <= before.time:
        return "-"
    return f"{100 * (now.cpu - before.cpu) / (now.time - before.time):.1f}%"


def _of(used: str, limit: object) -> str:
    return used if limit is None else f"{used} of {limit}"
