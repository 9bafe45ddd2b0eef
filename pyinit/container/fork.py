"""The fork that makes PID 1: out of the maker's namespaces, in a thread of its own.

Where there is a user namespace to be entered a process stands between the two, for that
needs a process of one thread. It enters the namespaces, has its map written by the maker,
and forks PID 1 as the maker's own child.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import msgspec

from pyinit import errors
from pyinit.container import userns
from pyinit.container.namespaces import Namespaces
from pyinit.errors import PyinitError, SystemFault
from pyinit.linux import sockets as socket
from pyinit.linux.clone import fork_sibling
from pyinit.linux.thread import in_thread


def fork_into_namespaces(
    namespaces: Namespaces, child: Callable[[], NoReturn], before: Callable[[], None]
) -> int:
    """Fork a process that is in the namespaces and calls `child`; returns its pid here.

    A thread of its own leaves the namespaces and forks: they belong to a thread, so the
    rest of the program stays where it is, and the child finds no trace of an event loop
    that may run in the thread that called. Where a process stands between, it calls
    `before` first: for what root of a user namespace may not do. Raises SystemFault,
    Unsupported.
    """
    fork = _by_process if namespaces.needs_process else _by_thread
    return in_thread(lambda: fork(namespaces, child, before))


def _by_thread(namespaces: Namespaces, child: Callable[[], NoReturn], _: object) -> int:
    namespaces.enter()
    pid = _fork()
    if pid == 0:
        child()
    return pid


def _by_process(
    namespaces: Namespaces, child: Callable[[], NoReturn], before: Callable[[], None]
) -> int:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        between = _fork()
        if between == 0:
            ours.close()
            _go_between(namespaces, child, before, theirs)
        theirs.close()
        try:
            return _lead(namespaces, between, ours)
        finally:
            ours.close()
            with suppress(ChildProcessError):  # a reaper of the host program was quicker
                os.waitpid(between, 0)


def _lead(namespaces: Namespaces, between: int, channel: socket.socket) -> int:
    """The maker's side: write the map when there is something to be mapped, hear of PID 1."""
    while True:
        said = channel.recv(65536)
        if said == b"map":
            assert namespaces.id_map is not None
            userns.write_map(between, namespaces.id_map)
            channel.send(b"mapped")
        elif said.isdigit():
            return int(said)
        else:
            raise _failure(said)


def _go_between(
    namespaces: Namespaces,
    child: Callable[[], NoReturn],
    before: Callable[[], None],
    channel: socket.socket,
) -> NoReturn:
    try:
        before()
        namespaces.enter_user(lambda: _ask_for_map(channel))
        pid = fork_sibling()
        if pid == 0:
            channel.close()
            child()
        channel.send(str(pid).encode())
    except BaseException as error:  # every way out of here ends the process
        _tell(channel, error)
    finally:
        os._exit(0)


def _ask_for_map(channel: socket.socket) -> None:
    channel.send(b"map")
    if channel.recv(16) != b"mapped":
        raise PyinitError("the map of the user namespace could not be written")


def _tell(channel: socket.socket, error: BaseException) -> None:
    number = getattr(error, "errno", None) or 0
    doing = getattr(error, "doing", "fork")
    told = (type(error).__name__, str(error) or repr(error), number, doing)
    channel.send(msgspec.json.encode(told))


def _failure(said: bytes) -> PyinitError:
    if not said:
        return PyinitError("the process that makes the namespaces died")
    kind, text, number, doing = msgspec.json.decode(said, type=tuple[str, str, int, str])
    if number:
        return SystemFault(doing, OSError(number, os.strerror(number)))
    found = getattr(errors, kind, PyinitError)
    return found(text) if issubclass(found, PyinitError) else PyinitError(text)


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside other threads: the child runs no code but its
        # own, and libc makes its allocator whole.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
