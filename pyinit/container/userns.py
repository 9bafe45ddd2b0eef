"""The user namespace of a container: which map it gets, and who writes it.

Root writes any map. An ordinary user may map their own id alone, or with newuidmap(1) and
newgidmap(1), which are set-user-id root, the ranges that /etc/subuid gives them.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from pathlib import Path

from pyinit.container import idranges
from pyinit.errors import SystemFault, Unsupported, UsageError
from pyinit.spec.container import ContainerSpec
from pyinit.spec.idmap import MOST_ID, IdMap, Range, kept, parse_map, rooted

NO_NAMESPACES = (
    "not root and no user namespaces: run this as root, or see user.max_user_namespaces,"
    " kernel.unprivileged_userns_clone and AppArmor"
)
_REFUSED = {errno.EPERM, errno.ENOSPC, errno.EUSERS, errno.EINVAL, errno.ENOSYS, errno.EACCES}
_HELPERS = {"uid": "newuidmap", "gid": "newgidmap"}


def source_of(spec: ContainerSpec) -> str:
    """What the spec says of the user namespace; an ordinary user's default is "auto".

    Raises Unsupported where an ordinary user asks for none.
    """
    superuser = os.geteuid() == 0
    source = spec.namespaces.get("user", "host" if superuser else "auto")
    if source == "host" and not superuser:
        raise Unsupported("--userns host takes root: leave it out, and you are root inside only")
    return source


def default_user(spec: ContainerSpec) -> str | None:
    """Whom the main command runs as: with keep-id the user who makes the container."""
    if spec.user is None and spec.namespaces.get("user") == "keep-id":
        return f"{os.geteuid()}:{os.getegid()}"
    return spec.user


def choose_map(spec: ContainerSpec, undo: ExitStack | None) -> IdMap | None:
    """The map of a user namespace to be made; None where one is shared or joined.

    A range that is leased for it goes back with `undo`; without, it is only what a range
    would look like. Raises UsageError, Unsupported, InUse.
    """
    source = source_of(spec)
    if source == "host" or source.startswith(("container:", "/")):
        return None
    superuser = os.geteuid() == 0
    if source == "private" and superuser:
        everybody = (Range(0, 0, MOST_ID + 1),)
        return IdMap(everybody, everybody)
    if source not in ("auto", "keep-id", "private"):
        ranges = parse_map(source)
        return IdMap(ranges, ranges)
    if superuser:
        return _leased(spec.name, source, undo)
    return _own(source)


def _leased(name: str, source: str, undo: ExitStack | None) -> IdMap:
    if source == "keep-id":
        raise UsageError("--userns keep-id is for ordinary users: root has auto, host or a map")
    if undo is None:
        span = idranges.Span(idranges.HIGH[0], idranges.SIZE)
    else:
        span = idranges.lease(name)
        undo.callback(idranges.release, name)
    whole = (Range(0, span.first, span.size),)
    return IdMap(whole, whole)


def _own(source: str) -> IdMap:
    given = idranges.given_to_user(os.geteuid()) if _has_helpers() else None
    if given is None:
        if source == "keep-id":
            raise Unsupported(
                "--userns keep-id takes more ids than yours: have newuidmap installed and a range"
                " for you in /etc/subuid and /etc/subgid, or leave it out"
            )
        return IdMap(rooted(os.geteuid(), 0, 0), rooted(os.getegid(), 0, 0))
    make = kept if source == "keep-id" else rooted
    users, groups = given
    return IdMap(
        make(os.geteuid(), users.first, users.size),
        make(os.getegid(), groups.first, groups.size),
    )


def _has_helpers() -> bool:
    import shutil

    return all(shutil.which(helper) for helper in _HELPERS.values())


def write_map(pid: int, wanted: IdMap) -> None:
    """Give the user namespace of the process `pid` its map. Raises Unsupported, SystemFault."""
    if os.geteuid() != 0 and not _is_own(wanted):
        for kind, ranges in (("uid", wanted.uids), ("gid", wanted.gids)):
            _by_helper(_HELPERS[kind], pid, ranges)
        return
    try:
        if os.geteuid() != 0:
            # Or the kernel lets nobody without CAP_SETGID write the map of groups.
            Path(f"/proc/{pid}/setgroups").write_text("deny")
        Path(f"/proc/{pid}/gid_map").write_text(_lines(wanted.gids))
        Path(f"/proc/{pid}/uid_map").write_text(_lines(wanted.uids))
    except OSError as error:
        # AppArmor lets a user make the namespace, and takes away what is needed to use it.
        raise refusal("write the map of the user namespace", error) from error


def read_map(pid: int) -> IdMap:
    """The map of the user namespace that the process `pid` is in. Raises SystemFault."""
    try:
        users, groups = (
            tuple(Range(*map(int, line.split())) for line in Path(name).read_text().splitlines())
            for name in (f"/proc/{pid}/uid_map", f"/proc/{pid}/gid_map")
        )
    except OSError as error:
        raise SystemFault("read the map of the user namespace", error) from error
    return IdMap(users, groups)


def _is_own(wanted: IdMap) -> bool:
    return wanted == IdMap(
        (Range(0, os.geteuid(), 1),),
        (Range(0, os.getegid(), 1),),
    )


def _lines(ranges: tuple[Range, ...]) -> str:
    return "".join(f"{each.inside} {each.outside} {each.count}\n" for each in ranges)


def _by_helper(helper: str, pid: int, ranges: tuple[Range, ...]) -> None:
    import subprocess

    numbers = [str(n) for each in ranges for n in (each.inside, each.outside, each.count)]
    try:
        done = subprocess.run([helper, str(pid), *numbers], check=False, capture_output=True)
    except FileNotFoundError:
        raise Unsupported(
            f"a map of more than your own id takes {helper}: install it (Debian: uidmap)"
        ) from None
    if done.returncode:
        reason = (
            " ".join(done.stderr.decode(errors="replace").split())
            or f"exit status {done.returncode}"
        )
        raise Unsupported(f"{reason}: use ids that /etc/subuid and /etc/subgid give you")


def refusal(doing: str, error: OSError) -> Unsupported | SystemFault:
    """What to raise where the kernel refused a user namespace."""
    if os.geteuid() != 0 and error.errno in _REFUSED:
        return Unsupported(NO_NAMESPACES)
    return SystemFault(doing, error)
