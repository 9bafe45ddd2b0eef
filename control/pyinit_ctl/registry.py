"""Where containers are found: one folder each, with the control socket in it.

`/run/pyinit/<name>/` for root, `$XDG_RUNTIME_DIR/pyinit/<name>/` for others, and
`$PYINIT_RUN_DIR/<name>/` for whoever sets that. Loaded by the exec client, so it imports
C builtins only: not even os, which is not there yet in an interpreter without site.
"""

from __future__ import annotations

import _socket
import posix
import sys

from pyinit.errors import NotFound, PyinitError, SystemFault, UsageError

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Protocol

    class Connected(Protocol):
        """What is used of a socket: `_socket.socket` and `socket.socket` both have it."""

        def fileno(self) -> int: ...
        def close(self) -> None: ...
        def detach(self) -> int: ...


SOCKET = "control.sock"

# What a container's folder has at least one of; the folders beside it have none.
_MARKS = ("state.json", "exit.json", SOCKET)

# sun_path of unix(7) is 108 bytes, its final NUL included.
_PATH_LIMIT = 107


class Target:
    """A control socket: its `path`, and the container's `name` and `folder` if it is one's."""

    __slots__ = ("folder", "name", "path")

    def __init__(self, path: str, name: str | None = None) -> None:
        self.path = path
        self.name = name
        self.folder = path.rpartition("/")[0] if name is not None else None

    def __str__(self) -> str:
        return self.name if self.name is not None else self.path


def run_folder() -> str:
    """The folder that holds the containers' folders of this user."""
    given = variable("PYINIT_RUN_DIR")
    if given:
        return given
    uid = posix.geteuid()
    if uid == 0:
        return "/run/pyinit"
    return (variable("XDG_RUNTIME_DIR") or f"/run/user/{uid}") + "/pyinit"


def variable(name: str) -> str | None:
    """A variable of the environment, as `os.environ` has it where a program has changed that."""
    os = sys.modules.get("os")
    if os is not None:
        found: str | None = os.environ.get(name)
        return found
    value = posix.environ.get(name.encode())
    return None if value is None else value.decode(errors="surrogateescape")


def names() -> list[str]:
    """The names of all containers that have a folder, ended ones too, sorted."""
    try:
        with posix.scandir(run_folder()) as entries:
            return sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and any(_is_there(f"{entry.path}/{mark}") for mark in _MARKS)
            )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SystemFault(f"list the containers in {run_folder()}", error) from None


def container(name: str) -> Target:
    """The container called `name`, alive or ended. Raises NotFound, UsageError for no name."""
    if not name or "/" in name or "\0" in name or name.startswith("."):
        raise UsageError(f"{name!r} is no container's name; `pyinit-ctl ls` shows them")
    target = Target(f"{run_folder()}/{name}/{SOCKET}", name)
    if not any(_is_there(f"{run_folder()}/{name}/{mark}") for mark in reversed(_MARKS)):
        raise NotFound(_no_such_container(name))
    return target


def _is_there(path: str) -> bool:
    try:
        posix.lstat(path)
    except OSError:
        return False
    return True


def resolve(target: str) -> Target:
    """What `target` means: a path if it has a slash in it, else a container's name.

    Raises NotFound for a name without a folder; a path is not looked at before `connect`.
    """
    if "/" in target:
        return Target(target)
    return container(target)


def connect(target: Target, *, blocking: bool = True) -> _socket.socket:
    """A close-on-exec stream socket connected to `target`.

    Raises NotFound where no socket is or the container has ended, SystemFault otherwise;
    BlockingIOError where it may not block and the init's queue is full.
    """
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC, 0)
    link.setblocking(blocking)
    try:
        _connect(link, target.path)
    except BlockingIOError:
        link.close()
        raise
    except OSError as error:
        link.close()
        raise _unreachable(target, error) from None
    return link


def _connect(link: _socket.socket, path: str) -> None:
    if len(path.encode(errors="surrogateescape")) <= _PATH_LIMIT:
        link.connect(path)
        return
    # Too long for sockaddr_un: go by the folder's descriptor.
    parent, _, name = path.rpartition("/")
    folder = posix.open(parent or "/", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        link.connect(f"/proc/self/fd/{folder}/{name}")
    finally:
        posix.close(folder)


def _unreachable(target: Target, error: OSError) -> PyinitError:
    if isinstance(error, ConnectionRefusedError) or (
        isinstance(error, FileNotFoundError) and target.folder is not None
    ):
        return NotFound(_ended(target))
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFound(f"no control socket at {target.path}; `pyinit-ctl ls` shows containers")
    if isinstance(error, PermissionError):
        return NotFound(
            f"not allowed to connect to {target.path}; run this as the user who made the container"
        )
    return SystemFault(f"connect to {target.path}", error)


def _ended(target: Target) -> str:
    if target.folder is None:
        return f"nobody answers at {target.path}: its container has ended; start it again"
    from pyinit_ctl import records

    return records.describe_end(target)


def _no_such_container(name: str) -> str:
    known = names()
    if not known:
        return (
            f"no container named {name!r}: none is in {run_folder()}; "
            "start one with `pyinit-ctl run`, or give a socket's path with a / in it"
        )
    from difflib import get_close_matches

    near = get_close_matches(name, known, 3, 0.5) or known[:5]
    return f"no container named {name!r} in {run_folder()}; there is {', '.join(near)}"
