"""`pyinit-ctl gc`: clear away what ended containers left on the host."""

from __future__ import annotations

import os
import select

from pyinit.container import clearing
from pyinit_ctl import records, registry
from pyinit_ctl.flags import FLAG, Given, Option
from pyinit_ctl.output import JSON, print_json
from pyinit_ctl.stdio import print_line
from pyinit_ctl.verb import Verb


def gc(given: Given, words: list[str]) -> int:
    """Carry out the verb. Raises PyinitError."""
    for name in words:
        target = registry.container(name)
        if given.flag("after-init"):
            clearing.end_left(name)
            _await_init(target)
        clearing.clear(name)
    cleared = list(words) if words else clearing.collect()
    if given.flag("json"):
        print_json({"cleared": cleared})
    elif not given.flag("quiet"):
        for name in cleared:
            print_line(name)
    return 0


def _await_init(target: registry.Target) -> None:
    """Return once the init is no more than a zombie, which takes longer than its descriptors."""
    process = records.open_process(records.read_state(target))
    if process is None:
        return
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.poll()
    os.close(process)


VERB = Verb(
    "gc",
    "Clear away what ended containers left: cgroups, addresses, interfaces, ports, ids, sockets."
    "\n\n"
    "Also after the init, its maker, or both were killed. Running ones are left alone, and so are"
    " exit statuses, logs and kept namespaces. `run` and `ls` do the same by themselves.",
    (
        Option("q", "quiet", FLAG, "", "Print nothing."),
        # Without a help: it is run by the waiter of run_detached, and is nobody else's.
        Option("", "after-init", FLAG, "", ""),
        JSON,
    ),
    ("[NAME]...",),
    gc,
)
