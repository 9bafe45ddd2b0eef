"""Taking the control socket's folder out of the container's sight.

A folder that was mounted for the socket alone is of no more use once it listens: the
descriptor stays, the host's side stays, and in here nothing of it can be found by path.
"""

from __future__ import annotations

import os

from pyinit.linux.early import detach_mount


def hide(socket_path: str, mountinfo: str = "/proc/self/mountinfo") -> str:
    """Unmount the folder of the socket. Returns why it was not done, or nothing.

    Never where the mount would go elsewhere too: a shared mount below it would carry the
    unmounting to the host (mount_namespaces(7)).
    """
    folder = os.path.realpath(os.path.dirname(os.path.abspath(socket_path)))
    try:
        with open(mountinfo, "rb") as file:
            reason = _why_not(folder, file.read())
    except OSError as error:
        return f"{mountinfo}: {error.strerror}"
    if reason:
        return reason
    return "" if detach_mount(folder) else "not permitted"


def _why_not(folder: str, mountinfo: bytes) -> str:
    parents: dict[bytes, bytes] = {}
    shared: set[bytes] = set()
    found = b""
    for line in mountinfo.splitlines():
        fields = line.split()
        parents[fields[0]] = fields[1]
        optional = fields[6 : fields.index(b"-")]
        if any(field.startswith(b"shared:") for field in optional):
            shared.add(fields[0])
        if _unescaped(fields[4]) == os.fsencode(folder):
            found = fields[0]  # the last one lies on top
    if not found or folder == "/":
        return "no mount of its own"
    if parents[found] in shared:
        return "the mount below is shared with others"
    return ""


def _unescaped(path: bytes) -> bytes:
    """mountinfo writes space, tab, newline and backslash as octal (proc(5))."""
    for octal, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        path = path.replace(octal, byte)
    return path
