"""A control socket on another machine, through ssh's standard input and output.

ssh is what `$PYINIT_SSH` says, words parted by spaces, and runs `pyinit-ctl dial` over there.
"""

from __future__ import annotations

import _signal
import _socket
import os
import shutil

from pyinit.errors import SystemFault, Unsupported, UsageError
from pyinit_ctl.wire import Link


def connect(host: str, target: str) -> Link:
    """A connection to `target` on `host`. Whether ssh gets there shows with the first call.

    Raises UsageError for what is no host, Unsupported without ssh, SystemFault.
    """
    if not host or host.startswith("-"):
        raise UsageError(f"--host {host!r} is no host; give HOST or USER@HOST")
    command = (os.environ.get("PYINIT_SSH") or "ssh").split()
    ssh = shutil.which(command[0])
    if ssh is None:
        raise Unsupported(f"{command[0]} is not installed here; --host goes by ssh")
    words = [*command, "-T", "--", host, f"exec pyinit-ctl dial --hang-up {_quoted(target)}"]
    ours, theirs = _socket_pair()
    try:
        _spawn(ssh, words, theirs.fileno())
    except OSError as error:
        ours.close()
        raise SystemFault(f"start {ssh}", error) from None
    finally:
        theirs.close()
    return Link(ours)


def _socket_pair() -> tuple[_socket.socket, _socket.socket]:
    try:
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    except OSError as error:
        raise SystemFault("make a socket for ssh", error) from None
    return ours, theirs


def _spawn(ssh: str, words: list[str], descriptor: int) -> int:
    """Start ssh with the socket as its stdin and stdout; its stderr is ours.

    Keys such as Ctrl-C are for the command over there: ssh, in the same process group,
    keeps ignoring what it finds ignored. SIGPIPE it gets as it expects it.
    """
    kept = {n: _signal.signal(n, _signal.SIG_IGN) for n in (_signal.SIGINT, _signal.SIGQUIT)}
    try:
        return os.posix_spawn(
            ssh,
            words,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, descriptor, 0),
                (os.POSIX_SPAWN_DUP2, descriptor, 1),
            ],
            setsigdef=[_signal.SIGPIPE],
        )
    finally:
        for number, handler in kept.items():
            _signal.signal(number, handler)


def _quoted(word: str) -> str:
    """For the shell over there."""
    return "'" + word.replace("'", "'\"'\"'") + "'"
