"""Staying with a container: its output, our input and signals, and its exit status."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from pyinit.container.clearing import clear_after
from pyinit.container.launch import Container, launch
from pyinit.spec.container import ContainerSpec
from pyinit.varlink.envelope import Reply
from pyinit_ctl import registry
from pyinit_ctl.forward import Forwarder
from pyinit_ctl.records import RECORD_LIMIT, exit_code_in
from pyinit_ctl.relay import drain, relay_until_reply
from pyinit_ctl.stdio import NAMES, Stdio, check_outputs, say


class EndOfInit:
    """What the relays wait for in place of a reply: PID 1's end, by its pidfd."""

    def __init__(self, pidfd: int) -> None:
        self._pidfd = pidfd
        self._over = False

    def fileno(self) -> int:
        return self._pidfd

    def read(self) -> None:
        """The pidfd is readable: the process has ended."""
        self._over = True

    def pull(self) -> Reply | None:
        return Reply({}) if self._over else None


class Attached:
    """A container that was launched, and is cleared away once it has ended."""

    def __init__(self, container: Container, spec: ContainerSpec) -> None:
        self.container = container
        self._spec = spec
        # Kept open: once it has ended, the name and its folder are anybody's.
        self._record = os.open(container.folder / "exit.json", os.O_RDONLY | os.O_CLOEXEC)
        self.end = EndOfInit(container.pidfd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.container.close()
        os.close(self._record)

    def exit_code(self) -> int:
        """Of the container, which has ended; takes back what it had."""
        container = self.container
        os.waitid(os.P_PID, container.pid, os.WEXITED)
        clear_after(container.name, container.pid, forget=self._spec.remove)
        return exit_code_in(os.pread(self._record, RECORD_LIMIT, 0))


def run_attached(spec: ContainerSpec, interactive: bool) -> int:
    """Run with our own streams: pipes are handed over, anything else is relayed."""
    stdio = Stdio.plan(interactive)
    forwarder = Forwarder()
    stdin, stdout, stderr = (stdio.descriptors.get(name) for name in NAMES)
    container = launch(spec, stdio=(stdin, stdout, stderr), attended=True)
    with Attached(container, spec) as attached:
        stdio.handed_over()
        forwarder.begin(registry.resolve(str(container.control)), "Kill", {})
        relay_until_reply(attached.end, stdio.inputs + stdio.outputs)
        complete = drain(stdio.outputs)
        code = attached.exit_code()
    if not complete:
        say("the container has ended, but something still holds its output: not waiting")
    check_outputs(stdio)
    return code
