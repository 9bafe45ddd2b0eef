"""Programs run under an init in pid and mount namespaces of their own, and watched from outside.

`tini` and `dumb-init` are the peers; `pyinit` is the entrypoint from this tree, once lean and
once with a control socket.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

TREE = Path(__file__).resolve().parents[2]
PYINIT = (sys.executable, str(TREE / "scripts" / "pyinit"))
PAYLOADS = TREE / "tests" / "payloads"
LIMIT_S = 60


def environment(**more: str) -> dict[str, str]:
    """This process's, without what would change an init's behaviour, and with our package."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("TINI_", "DUMB_INIT_", "LISTEN_", "NOTIFY_"))
    }
    return kept | {"PYTHONPATH": str(TREE)} | more


def isolated(*command: str, prepare: str = "") -> list[str]:
    """The command as PID 1 of a pid namespace; `prepare` is shell that runs there before it."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if not prepare:
        return [*unshare, *command]
    return [*unshare, "sh", "-ec", f'{prepare}\nexec "$@"', "sh", *command]


class Running:
    """A process whose lines are read, each within a limit."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: dict[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        stdio: int | None = None,
    ) -> None:
        """`stdio` is a terminal for 0, 1 and 2, and becomes the controlling one."""
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command,
            stdin=pipe if stdio is None else stdio,
            stdout=pipe if stdio is None else stdio,
            stderr=pipe if stdio is None else stdio,
            env=env or environment(),
            pass_fds=pass_fds,
            cwd=TREE,
        )
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        # --kill-child ends the namespace with the process that made it, but not where PID 1
        # has changed its user since (prctl(2), PR_SET_PDEATHSIG).
        if self.process.poll() is None:
            for pid in children(self.process.pid):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        """The next line of standard output, without its end; empty at the end of it."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([descriptor], [], [], LIMIT_S)
            assert ready, "no line in time"
            data = os.read(descriptor, 65536)
            if not data:
                break
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    @property
    def init(self) -> int:
        """The pid, out here, of PID 1 in there."""
        return children(self.process.pid)[0]

    def children_are_there(self) -> bool:
        return bool(children(self.process.pid))

    def send(self, number: int) -> None:
        """A signal to PID 1 from outside, as a container runtime sends it."""
        os.kill(self.init, number)

    def finish(self) -> None:
        """End of its input, which ends print_signals.py."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None

    def wait(self) -> int:
        """The exit code, 128 + n for a signal."""
        code = self.process.wait(LIMIT_S)
        return code if code >= 0 else 128 - code

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid: int) -> str:
    """The letter of proc(5): R, S, T, Z and so on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def until(check: Callable[[], object]) -> None:
    """Return once it holds, for what nobody tells: it is asked again and again, up to a limit."""
    limit = time.monotonic() + LIMIT_S
    while not check():
        assert time.monotonic() < limit, "not in time"
        time.sleep(0.01)


def exit_code(init: Sequence[str], *command: str, prepare: str = "") -> int:
    """How the init ends as PID 1 when the command is its only one."""
    done = subprocess.run(
        isolated(*init, *command, prepare=prepare),
        env=environment(),
        capture_output=True,
        timeout=LIMIT_S,
        cwd=TREE,
    )
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def print_signals(*arguments: str) -> list[str]:
    return [sys.executable, "-S", str(PAYLOADS / "print_signals.py"), *arguments]


def listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


# Puts the descriptors on 3 and up and the right pid in place, as a container runtime does.
HAND_IN = """
import os, sys
count = int(sys.argv[1])
handed = [int(word) for word in sys.argv[2:2 + count]]
high = [os.dup(fd) if fd < 3 + count else fd for fd in handed]
for place, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + place)
os.closerange(3 + count, 256)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(count)
os.execvp(sys.argv[2 + count], sys.argv[2 + count:])
"""


def handing_in(*descriptors: int) -> list[str]:
    """A prefix for a command, which then gets these as sd_listen_fds(3) has it."""
    words = [str(len(descriptors)), *map(str, descriptors)]
    return [sys.executable, "-S", "-c", HAND_IN, *words]


AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

# The interpreter may lie in a home that others can't enter.
READABLE = """
folder={prefix}
while [ "$folder" != / ]; do
    parent=$(dirname "$folder")
    case $(stat -c %a "$parent") in
    *0)
        mkdir -p {scratch}/prefix
        mount --bind {prefix} {scratch}/prefix
        mount -t tmpfs -o mode=755 none "$parent"
        mkdir -p {prefix}
        mount --bind {scratch}/prefix {prefix}
        ;;
    esac
    folder=$parent
done
"""


def readable(scratch: Path) -> str:
    """Shell for `prepare`, after which everybody can run this interpreter."""
    return READABLE.format(prefix=sys.base_prefix, scratch=scratch)
