"""Who a command runs as: users and groups from the container's own /etc, read by us.

No NSS: it would load the container's libraries into PID 1 (CVE-2019-14271). The files
belong to the container and may be anything: a FIFO, a device, a loop of symlinks, a
gigabyte, binary junk. So they are looked at through a descriptor that opens nothing
(O_PATH) before they are opened, are read up to a limit, and are searched with patterns
that take time linear in the file's size.

The semantics are those of `docker exec --user` and `podman exec --user`.
"""

from __future__ import annotations

import os
import re
import stat

from msgspec import Struct

from pyinit.errors import UsageError
from pyinit.linux.files import open_in_root

PASSWD = "etc/passwd"  # noqa: S105 (a path)
GROUP = "etc/group"

# Some 18,000 users; what lies beyond in a longer file is not found.
MAX_FILE = 1 << 20
MAX_GROUPS = 65_536  # NGROUPS_MAX of linux/limits.h
# 2**32 - 1 means "leave unchanged" to the kernel.
MAX_ID = 2**32 - 2

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Device, inode, size, mtime and ctime: whether a file is still the one that was searched.
_Stamp = tuple[int, int, int, int, int]
_ABSENT: _Stamp = (0, 0, 0, 0, 0)

_MAX_CACHED = 64

# What ends up in an environment has a length that execve takes.
_MAX_NAME = 256

_ID = rb"([0-9]{1,10})"
_FIELD = rb"[^:\n\0]*"
_PATH = rb"[^:\n\0]{0,4095}"
# Home and shell may be missing, as other readers of passwd(5) allow.
_REST = rb"(?::%b(?::(%b)(?::(%b))?)?)?$" % (_FIELD, _PATH, _PATH)


class User(Struct, frozen=True):
    """Whom a command runs as. `groups` are the supplementary ones, without `gid`."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    name: str = ""
    home: str = "/"
    shell: str = ""


ROOT = User(uid=0, gid=0, name="root", home="/root")


def login_environment(user: User, terminal: str | None = None) -> dict[str, str]:
    """What a login gives a user: PATH, HOME, SHELL, USER and LOGNAME, and TERM on a terminal.

    PATH is podman's and Docker's, the same for every user. A user without an entry in
    /etc/passwd has no name and no shell, so those are left out.
    """
    environment = {"PATH": DEFAULT_PATH, "HOME": user.home}
    if user.name:
        environment |= {"USER": user.name, "LOGNAME": user.name}
    if user.shell:
        environment["SHELL"] = user.shell
    if terminal:
        environment["TERM"] = terminal
    return environment


class UserDatabase:
    """The users of the root that the descriptor `root` stands for.

    Answers are kept for as long as both files are unchanged (device, inode, size, mtime
    and ctime), so that the next command of the same user reads nothing.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        # Below the root of this very process no path leads out of it.
        self._is_own_root = os.path.samestat(os.fstat(root), os.stat("/"))
        self._stamps = (_ABSENT, _ABSENT)
        self._found: dict[str, User] = {}

    def lookup(self, wanted: str) -> User:
        """The user for `user[:group]`, each by name or number; an empty user is root.

        A number needs no entry: its group is then 0, its home /. A group that is named
        replaces the user's own, and the supplementary ones too.
        Raises UsageError.
        """
        passwd, group = self._stamp(PASSWD), self._stamp(GROUP)
        if (passwd, group) != self._stamps or len(self._found) >= _MAX_CACHED:
            self._stamps = (passwd, group)
            self._found.clear()
        if wanted not in self._found:
            self._found[wanted] = self._search(wanted)
        return self._found[wanted]

    def _stamp(self, path: str) -> _Stamp:
        if not self._is_own_root:
            return _stamp(self._root, path)
        try:
            return _stamp_from(os.stat(path, dir_fd=self._root))
        except OSError:
            return _ABSENT

    def _search(self, wanted: str) -> User:
        name, colon, group = wanted.partition(":")
        if colon and not group:
            raise UsageError(f"user {wanted!r}: no group after the colon")
        passwd = _read(self._root, PASSWD)
        groups = _read(self._root, GROUP)
        user = find_user(passwd, name or "0")
        if group:
            gid = find_group(groups, group)
            return User(user.uid, gid, (), user.name, user.home, user.shell)
        supplementary = find_memberships(groups, user) if user.name else ()
        return User(user.uid, user.gid, supplementary, user.name, user.home, user.shell)


def prepare_for_root() -> None:
    """Have the patterns ready that look root up, as whom most commands run: `re` keeps them."""
    find_user(b"", "0")
    find_memberships(b"", ROOT)


def find_user(passwd: bytes, wanted: str) -> User:
    """The first entry for a name or number in the content of a passwd(5) file.

    All digits always mean a number. Raises UsageError for a name that is not there and
    for a number out of range.
    """
    number = _number(wanted, "user")
    if number is None:
        _check_name(wanted, "user")
        who = rb"(%b)" % re.escape(os.fsencode(wanted))
        entry = re.compile(rb"^%b:%b:%b:%b" % (who, _FIELD, _ID, _ID) + _REST, re.MULTILINE)
    else:
        # A leading + or - is NIS, # a comment.
        who = rb"([^:\n\0#+-][^:\n\0]{0,%d})" % (_MAX_NAME - 1)
        entry = re.compile(rb"^%b:%b:0*(%d):%b" % (who, _FIELD, number, _ID) + _REST, re.MULTILINE)
    for match in entry.finditer(passwd):
        name, uid, gid, home, shell = match.groups()
        if int(uid) <= MAX_ID and int(gid) <= MAX_ID:
            return User(
                uid=int(uid),
                gid=int(gid),
                name=os.fsdecode(name),
                home=os.fsdecode(home or b"/"),
                shell=os.fsdecode(shell or b""),
            )
    if number is None:
        raise UsageError(f"user {wanted!r} is not in the container's /{PASSWD}: name one, or a uid")
    return User(uid=number, gid=0)


def find_group(group: bytes, wanted: str) -> int:
    """The gid for a name or number in the content of a group(5) file. Raises UsageError."""
    number = _number(wanted, "group")
    if number is not None:
        return number
    _check_name(wanted, "group")
    entry = re.compile(
        rb"^%b:%b:%b(?::%b)?$" % (re.escape(os.fsencode(wanted)), _FIELD, _ID, _FIELD), re.MULTILINE
    )
    for match in entry.finditer(group):
        gid = int(match[1])
        if gid <= MAX_ID:
            return gid
    raise UsageError(f"group {wanted!r} is not in the container's /{GROUP}: name one, or a gid")


def find_memberships(group: bytes, user: User) -> tuple[int, ...]:
    """The gids of all groups that list the user's name, in the file's order, without its own.

    Raises UsageError when they are more than the kernel takes.
    """
    # The lookahead makes sure that the last field has no colon, once for the line: a name
    # is then decided by the byte after it, and a hostile line costs no more than its length.
    entry = re.compile(
        rb"^[^:\n\0#+-]%b:%b:%b:(?=%b$)(?:%b,)?%b(?:,|$)"
        % (_FIELD, _FIELD, _ID, _FIELD, _FIELD, re.escape(os.fsencode(user.name))),
        re.MULTILINE,
    )
    gids = dict.fromkeys(int(match[1]) for match in entry.finditer(group))
    gids.pop(user.gid, None)
    if len(gids) > MAX_GROUPS:
        raise UsageError(f"user {user.name!r} is in more than {MAX_GROUPS} groups of /{GROUP}")
    return tuple(gid for gid in gids if gid <= MAX_ID)


def _number(text: str, what: str) -> int | None:
    """The id that `text` is, None if it is a name. Raises UsageError if it is out of range."""
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > 10 or int(text) > MAX_ID:
        raise UsageError(f"{what} {text[:20]}: a numeric id is at most {MAX_ID}")
    return int(text)


def _check_name(name: str, what: str) -> None:
    if not name or len(name) > _MAX_NAME or ":" in name or not name.isprintable():
        raise UsageError(f"{what} {name[:40]!r} can't be a name: give user[:group] or numbers")


def _stamp(root: int, path: str) -> _Stamp:
    """What tells whether a file is the same as before; _ABSENT if it is none that we read."""
    try:
        descriptor = open_in_root(root, path, os.O_PATH)
    except OSError:
        return _ABSENT
    try:
        return _stamp_of(descriptor)
    finally:
        os.close(descriptor)


def _stamp_of(descriptor: int) -> _Stamp:
    return _stamp_from(os.fstat(descriptor))


def _stamp_from(status: os.stat_result) -> _Stamp:
    if not stat.S_ISREG(status.st_mode):
        return _ABSENT
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _read(root: int, path: str) -> bytes:
    """The content of a file of the container, b"" if it is none that may be read.

    Looked at first, because opening a device can do things; and again once it is open,
    because the container may have put another in its place.
    """
    if _stamp(root, path) == _ABSENT:
        return b""
    try:
        descriptor = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        return _content(descriptor) if _stamp_of(descriptor) != _ABSENT else b""
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> bytes:
    parts = []
    left = MAX_FILE
    while left > 0:
        try:
            part = os.read(descriptor, left)
        except OSError:
            return b""
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
