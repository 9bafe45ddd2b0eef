"""`pyinit-ctl wait`: until a container or an exec has ended, and how it did."""

from __future__ import annotations

import click

from pyinit.container.clearing import clear
from pyinit.errors import NotFound
from pyinit_ctl import records
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.ending import await_end
from pyinit_ctl.output import json_option, print_json
from pyinit_ctl.registry import Target, resolve
from pyinit_ctl.replies import exit_status, split_status


@click.command("wait")
@click.argument("target")
@click.argument("exec_id", required=False)
@json_option
def command(target: str, exec_id: str | None, as_json: bool) -> None:
    """Wait for the end of a container, or of an exec in it, and print its exit status.

    A container that ended before is known too, also when nobody was watching.
    """
    found = resolve(target)
    if exec_id is not None:
        end = _wait_exec(found, exec_id)
    elif found.folder is not None:
        end = wait_container(found)
    else:
        end = _wait_socket(found)
    if as_json:
        print_json(end.to_json())
    else:
        click.echo(end.code)


def wait_container(target: Target) -> records.Exit:
    """Wait for the end of a container by its process. Raises NotFound, SystemFault."""
    state = records.read_state(target)
    process = records.open_process(state)
    if process is not None:
        await_end(process, BlockingClient(target), None)
    end = records.read_exit(target)
    if end is None:
        raise NotFound(f"container {str(target)!r} was never started, or is being made just now")
    clear(str(target))
    return end


def _wait_exec(target: Target, exec_id: str) -> records.Exit:
    with BlockingClient(target) as client:
        answer = client.call("WaitExec", id=exec_id)
    return _exit_of(answer.get("status"))


def _wait_socket(target: Target) -> records.Exit:
    with BlockingClient(target) as client:
        answer = client.call("Wait")
        client.await_hang_up(None)
    return _exit_of(answer.get("status"))


def _exit_of(status: object) -> records.Exit:
    return records.Exit(exit_status(status), split_status(status)[1])
