"""A container's folder on the host: its control socket, its state, its end.

`/run/pyinit/<name>/` for root, `$XDG_RUNTIME_DIR/pyinit/<name>/` for a user; mode 0700.
The folder is claimed under a lock that the kernel drops with its holder, so two who
start a container of one name can't both have it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pyinit.errors import InUse, SystemFault, UsageError
from pyinit.linux import sockets as socket

SOCKET_NAME = "control.sock"
STATE_NAME = "state.json"
EXIT_NAME = "exit.json"
LOG_FOLDER = "logs"
# On which the container's root is put together before the pivot.
SCRATCH = "root"
# sun_path of sockaddr_un, with its final NUL (unix(7)).
SOCKET_PATH_LIMIT = 107
BACKLOG = 1024


def run_directory() -> Path:
    """The folder of all containers of this user. Raises UsageError when there is no place."""
    chosen = os.environ.get("PYINIT_RUN_DIR")
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/run/pyinit")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if not runtime:
        raise UsageError("XDG_RUNTIME_DIR is not set: log in properly, or set PYINIT_RUN_DIR")
    return Path(runtime) / "pyinit"


def make_run_directory() -> Path:
    """The folder of all containers, made where missing; refused when somebody else's."""
    path = run_directory()
    try:
        path.mkdir(mode=0o711, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise SystemFault(f"make the folder {path}", error) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise UsageError(f"{path} must be a folder of your own that nobody else can write to")
    return path


@contextlib.contextmanager
def locked(name: str) -> Iterator[Path]:
    """The container's folder (made or not), while nobody else starts or clears that name."""
    parent = make_run_directory()
    lock = _lock(parent, name, fcntl.LOCK_EX)
    try:
        yield parent / name
    finally:
        _unlock(parent, name, lock)


@contextlib.contextmanager
def try_locked(name: str) -> Iterator[Path | None]:
    """As `locked`, but None at once while somebody else starts or clears that name."""
    parent = make_run_directory()
    try:
        lock = _lock(parent, name, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield None
        return
    try:
        yield parent / name
    finally:
        _unlock(parent, name, lock)


def _lock(parent: Path, name: str, how: int) -> int:
    """The lock file, open and locked, and still the one that others would open."""
    locks = parent / "locks"
    while True:
        locks.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = os.open(locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # whoever held the last one took the folder away
        try:
            fcntl.flock(lock, how)
            if os.path.samestat(os.fstat(lock), os.stat(locks / name)):
                return lock
        except FileNotFoundError:
            pass  # its holder removed it while we waited
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _unlock(parent: Path, name: str, lock: int) -> None:
    """Let go; where there is no container of the name, its lock goes too."""
    if not (parent / name).exists():
        (parent / "locks" / name).unlink(missing_ok=True)
    os.close(lock)
    with contextlib.suppress(OSError):  # others are locked
        (parent / "locks").rmdir()


def is_listening(path: Path) -> bool:
    """Whether a process answers at the socket. A dead one's path stays and refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            with short_path(path) as reachable:
                probe.connect(reachable)
        except BlockingIOError:
            return True  # the queue of a live listener is full
        except OSError:
            return False
    return True


def in_use(name: str) -> InUse:
    """What to raise where the name is taken."""
    return InUse(f"a container named {name!r} is running: stop it, or choose another name")


def claim(path: Path) -> None:
    """Make the folder anew for a container of that name.

    Raises InUse when the container there is alive. What an ended one left is removed.
    """
    if is_listening(path / SOCKET_NAME):
        raise in_use(path.name)
    if path.exists():
        remove_tree(path)
    path.mkdir(mode=0o700)
    (path / LOG_FOLDER).mkdir(mode=0o700)


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove a folder with all that is in it, as far as that can be.

    Goes by descriptors, so it follows no link, wherever one is put in its way. A folder that
    can't be read is opened up first: overlayfs leaves one that not even its ordinary owner may
    look into. By itself, since shutil loads every kind of archive first.
    """
    with contextlib.suppress(OSError):
        _empty(os.open(path, _FOLDER))
        os.rmdir(path)


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _empty(folder: int) -> None:
    """Remove what is in the folder behind the descriptor, which is closed."""
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    _empty(_open_inner(entry.name, folder))
                    os.rmdir(entry.name, dir_fd=folder)
                else:
                    os.unlink(entry.name, dir_fd=folder)
    finally:
        os.close(folder)


def _open_inner(name: str, folder: int) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=folder)
        return os.open(name, _FOLDER, dir_fd=folder)


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A way to write a socket's path in the 108 bytes that a socket address has."""
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """The control socket, bound and listening; a dead one's is replaced.

    Bound to a temporary name first: a client sees either the old socket or one that
    listens. Raises InUse when the old one is alive, SystemFault when it can't be made.
    """
    if is_listening(path):
        raise InUse(f"something listens on {path} already: stop it, or choose another path")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        temporary.unlink(missing_ok=True)
        with short_path(temporary) as name:
            # bind(2) makes the file with the socket's own mode: no moment in which others
            # could connect, and no umask changed for the whole process.
            os.fchmod(listener.fileno(), 0o600)
            listener.bind(name)
        listener.listen(BACKLOG)
        temporary.rename(path)
    except OSError as error:
        listener.close()
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise SystemFault(f"listen on {path}", error) from error
    return listener


def write_state(path: Path, data: bytes) -> None:
    """Put state.json in place, whole or not at all."""
    temporary = path / f".{STATE_NAME}"
    temporary.write_bytes(data)
    temporary.rename(path / STATE_NAME)
