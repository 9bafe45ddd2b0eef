"""Taking the control socket's folder out of the container's sight.

A folder that was mounted for the socket alone is of no more use once it listens: the
descriptor stays, the host's side stays, and in here nothing of it can be found by path.
"""

from __future__ import annotations

import os
import stat

from pyinit.linux.early import detach_mount


def hide(socket_path: str, proc: str = "/proc") -> str:
    """Unmount the folder of the socket. Returns why it was not done, or nothing.

    Done only where it can be nobody else's mount: see each reason.
    """
    folder = os.path.realpath(os.path.dirname(os.path.abspath(socket_path)))
    try:
        reason = _in_use(folder) or _not_ours(proc)
        if not reason:
            with open(f"{proc}/self/mountinfo", "rb") as file:
                reason = _why_not(folder, file.read())
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    if reason:
        return reason
    return "" if detach_mount(folder) else "not permitted"


def _in_use(folder: str) -> str:
    """A folder that holds more than sockets was not mounted for the socket alone."""
    for name in os.listdir(folder):
        if not stat.S_ISSOCK(os.lstat(f"{folder}/{name}").st_mode):
            return f"it holds {name}, too"
    return ""


def _not_ours(proc: str) -> str:
    """A /proc of this pid namespace shows that the mounts are not the host's: it would have
    been mounted over the host's own."""
    if os.readlink(f"{proc}/self") == "1":
        return ""
    return "only PID 1 of a container with a /proc of its own may know that the mount is its own"


def _why_not(folder: str, mountinfo: bytes) -> str:
    """A mount goes from every namespace that shares the mount below it (mount_namespaces(7)).

    Where that is a slave as well, it became shared after it had left the host's.
    """
    parents: dict[bytes, bytes] = {}
    shared: set[bytes] = set()
    found = b""
    for line in mountinfo.splitlines():
        fields = line.split()
        parents[fields[0]] = fields[1]
        kinds = {field.partition(b":")[0] for field in fields[6 : fields.index(b"-")]}
        if b"shared" in kinds and b"master" not in kinds:
            shared.add(fields[0])
        if _unescaped(fields[4]) == os.fsencode(folder):
            found = fields[0]  # the last one lies on top
    if not found or folder == "/":
        return "no mount of its own"
    return "the mount below is shared with others" if parents[found] in shared else ""


def _unescaped(path: bytes) -> bytes:
    """mountinfo writes space, tab, newline and backslash as octal (proc(5))."""
    for octal, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        path = path.replace(octal, byte)
    return path
