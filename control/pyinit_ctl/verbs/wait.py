"""`pyinit-ctl wait`: until a container or an exec has ended, and how it did."""

from __future__ import annotations

from pyinit.container.clearing import clear
from pyinit.errors import NotFound
from pyinit_ctl import records
from pyinit_ctl.blocking import BlockingClient
from pyinit_ctl.ending import await_end
from pyinit_ctl.flags import Given
from pyinit_ctl.output import JSON, print_json
from pyinit_ctl.registry import Target, resolve
from pyinit_ctl.replies import exit_status, split_status
from pyinit_ctl.stdio import print_line
from pyinit_ctl.verb import Verb


def wait(given: Given, words: list[str]) -> int:
    """Carry out the verb. Raises PyinitError."""
    found = resolve(words[0])
    if len(words) > 1:
        end = _wait_exec(found, words[1])
    elif found.folder is not None:
        end = wait_container(found)
    else:
        end = _wait_socket(found)
    if given.flag("json"):
        print_json(end.to_json())
    else:
        print_line(str(end.code))
    return 0


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


VERB = Verb(
    "wait",
    "Wait for the end of a container, or of an exec in it, and print its exit status.\n\n"
    "A container that ended before is known too, also when nobody was watching.",
    (JSON,),
    ("TARGET", "[EXEC_ID]"),
    wait,
)
