"""`pyinit-ctl logs`: what a container's commands wrote."""

from __future__ import annotations

import os
import sys

import click

from pyinit.errors import UsageError
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.click_options import json_option
from pyinit_ctl.logs.moments import moment
from pyinit_ctl.logs.show import JsonPrinter, Printer
from pyinit_ctl.logs.source import FileSource, SocketSource, Wanted
from pyinit_ctl.registry import Target, resolve
from pyinit_ctl.stdio import say

# What containers write before there are services.
_MAIN = "main"


@click.command("logs")
@click.argument("target")
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(min=0),
    metavar="LINES",
    help="Only the last so many lines of each log.",
)
@click.option("--since", metavar="TIME", help="Only from then on: 10m ago, or a time.")
@click.option("--until", metavar="TIME", help="Only up to then.")
@click.option(
    "--service", "services", multiple=True, metavar="NAME", help="Only the log of this service."
)
@click.option("-t", "--timestamps", is_flag=True, help="Print the time before each line.")
@json_option
def command(
    target: str,
    follow: bool,
    tail: int | None,
    since: str | None,
    until: str | None,
    services: tuple[str, ...],
    timestamps: bool,
    as_json: bool,
) -> None:
    """Print what a container's main command and its services wrote, ended ones too.

    The main command's log is called main. Lines of several logs have the service before them.
    """
    if follow and until:
        raise UsageError("--follow and --until exclude each other: what comes is from now on")
    wanted = Wanted(
        services=services,
        last=tail,
        since=moment(since) if since else None,
        until=moment(until) if until else None,
        follow=follow,
    )
    source = _source(resolve(target))
    names = _several(source, wanted)
    stdout, stderr = sys.stdout.buffer, sys.stderr.buffer
    printer = (
        JsonPrinter(stdout) if as_json else Printer(stdout, stderr, names=names, times=timestamps)
    )
    for batch in source.batches(wanted):
        printer.show(batch)
    printer.finish()
    if source.gaps:
        say("some lines were gone before they could be read")


def _source(target: Target) -> FileSource | SocketSource:
    if target.folder is not None:
        folder = os.path.join(target.folder, "logs")
        if os.access(folder, os.R_OK | os.X_OK):
            return FileSource(target, folder)
    return SocketSource(BlockingClient(target))


def _several(source: FileSource | SocketSource, wanted: Wanted) -> bool:
    """Whether each line needs the name of its service."""
    if len(wanted.services) == 1:
        return False
    return isinstance(source, SocketSource) or source.names() not in ([], [_MAIN])
