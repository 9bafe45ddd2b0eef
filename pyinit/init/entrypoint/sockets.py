"""The control socket: bound at a path, or handed in by sd_listen_fds(3).

`_socket` is enough for that, and takes a tenth of the time of `socket`.
"""

from __future__ import annotations

import _socket
import os

from pyinit.errors import InUse, SystemFault, UsageError

BACKLOG = 1024
FIRST_DESCRIPTOR = 3
# What a socket is named in LISTEN_FDNAMES when it is init's own.
OUR_NAMES = (b"control", b"pyinit")
UNNAMED = (b"", b"unknown")
LISTEN_VARIABLES = (b"LISTEN_FDS", b"LISTEN_PID", b"LISTEN_FDNAMES")


def take_handed(environment: dict[bytes, bytes]) -> tuple[list[int], list[int]]:
    """The sockets of LISTEN_FDS: init's own, and those that go on to the command.

    None where LISTEN_PID names another process. Without names all are init's; with names
    those called `control` or `pyinit`. The variables are left in the environment only where
    the command gets sockets; it fills in LISTEN_PID itself. Raises UsageError for one of
    init's that can't be used.
    """
    values = [environment.pop(name, b"") for name in LISTEN_VARIABLES]
    if values[1] != str(os.getpid()).encode() or not values[0].isdigit():
        return [], []
    ours: list[int] = []
    others: dict[int, bytes] = {}
    names = values[2].split(b":")
    for place in range(int(values[0])):
        descriptor = FIRST_DESCRIPTOR + place
        name = names[place] if place < len(names) else b""
        if name in OUR_NAMES or name in UNNAMED:
            _check(descriptor)
            os.set_inheritable(descriptor, False)
            ours.append(descriptor)
        else:
            others[descriptor] = name
    if others:
        environment[b"LISTEN_FDS"] = str(len(others)).encode()
        environment[b"LISTEN_FDNAMES"] = b":".join(others.values())
    return ours, list(others)


def _check(descriptor: int) -> None:
    """Raise UsageError unless a stream socket of UNIX listens on the descriptor."""
    where = f"descriptor {descriptor} of LISTEN_FDS"
    try:
        copy = os.dup(descriptor)
        candidate = _socket.socket(fileno=copy)
    except OSError as error:
        raise UsageError(f"{where}: {error.strerror}; hand in a listening socket") from None
    try:
        listens = candidate.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
        unix = candidate.family == _socket.AF_UNIX and candidate.type == _socket.SOCK_STREAM
    finally:
        candidate.close()
    if not (listens and unix):
        raise UsageError(
            f"{where} is no listening UNIX stream socket; name it in LISTEN_FDNAMES when it is "
            "the command's, not init's"
        )


def listen(path: str) -> int:
    """A descriptor of the control socket, bound at the path and listening; mode 0600.

    A dead one's socket is replaced: bound to a temporary name and renamed, so that a client
    meets the old or one that listens. Bound from within its folder, because a socket's
    address holds 108 bytes (unix(7)). Raises InUse, SystemFault.
    """
    folder, _, name = os.path.abspath(path).rpartition("/")
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        os.chdir(folder or "/")
        return _listen_here(name, path)
    except OSError as error:
        raise SystemFault(f"listen on {path}", error) from None
    finally:
        os.fchdir(here)
        os.close(here)


def _listen_here(name: str, path: str) -> int:
    if _answers(name):
        raise InUse(f"something listens on {path} already: stop it, or choose another path")
    temporary = f".{os.getpid()}.{name}"[:100]
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
    try:
        # The file is made with the socket's own mode: there is no moment for others.
        os.fchmod(listener.fileno(), 0o600)
        if os.path.lexists(temporary):
            os.unlink(temporary)
        listener.bind(temporary)
        listener.listen(BACKLOG)
        os.rename(temporary, name)
    except BaseException:
        listener.close()
        raise
    return int(listener.detach())


def _answers(name: str) -> bool:
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
    try:
        probe.connect(name)
    except BlockingIOError:
        return True  # alive, and its queue is full
    except OSError:
        return False
    finally:
        probe.close()
    return True
