"""Real processes for a supervisor, without being PID 1: sessions, waited for by pidfd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import trio

from pyinit.errors import CommandNotFound
from pyinit.init.lifecycle_events import Exited
from pyinit.init.ports import Launch

# LISTEN_PID is known to the child alone.
_SHIM = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[1], sys.argv[1:])
"""


class RealProcess:
    """A child in a session of its own; its process group is what belongs to it."""

    def __init__(self, launch: Launch, popen: subprocess.Popen[bytes]) -> None:
        self.launch = launch
        self.pid = popen.pid
        self._popen = popen
        self._pidfd = os.pidfd_open(popen.pid)

    async def wait(self) -> Exited:
        if self._popen.returncode is None:
            await trio.lowlevel.wait_readable(self._pidfd)
            self._popen.wait()
            os.close(self._pidfd)
        code = self._popen.returncode
        return Exited(code=code) if code >= 0 else Exited(signal=-code)

    async def gone(self) -> None:
        while self._group_lives():
            await trio.sleep(0.01)

    def _group_lives(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def signal(self, number: int) -> None:
        if self._popen.returncode is None:
            self._popen.send_signal(number)

    def signal_tree(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill_all(self) -> None:
        self.signal_tree(signal.SIGKILL)

    def owns(self, pid: int) -> bool:
        try:
            return os.getpgid(pid) == self.pid
        except ProcessLookupError:
            return False

    def follow(self, pid: int) -> RealProcess:
        raise ProcessLookupError(pid)


class RealProcesses:
    """Starts commands with their descriptors at the numbers they are to have."""

    def __init__(self) -> None:
        self.started: list[RealProcess] = []

    async def spawn(self, launch: Launch) -> RealProcess:
        await trio.lowlevel.checkpoint()
        # Every descriptor goes to a number of its own first, so that none is overwritten.
        kept = {target: os.dup(source) for target, source in launch.descriptors.items()}

        def in_child() -> None:
            high = {target: os.dup2(fd, 200 + target) for target, fd in kept.items()}
            for target, fd in high.items():
                os.dup2(fd, target)

        argv = list(launch.argv)
        if launch.listen_pid:
            argv = [sys.executable, "-S", "-c", _SHIM, *argv]
        try:
            popen = subprocess.Popen(
                argv,
                env={"PATH": os.environ["PATH"], **launch.environment},
                start_new_session=True,
                close_fds=False,
                preexec_fn=in_child,  # noqa: PLW1509 (this process has no other threads)
            )
        except FileNotFoundError:
            raise CommandNotFound(launch.argv[0], "no such file") from None
        finally:
            for fd in kept.values():
                os.close(fd)
        process = RealProcess(launch, popen)
        self.started.append(process)
        return process
