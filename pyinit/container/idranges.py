"""Ranges of user ids: the ones a user was given, and the ones that are leased to containers.

/etc/subuid and /etc/subgid say what belongs to whom (subuid(5)). Root's containers get a
range each, leased from a file under a lock; where root was given none, out of the numbers
that systemd sets apart for containers (systemd's "Users, Groups, UIDs and GIDs").
"""

from __future__ import annotations

import fcntl
import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from pyinit.container import folder
from pyinit.errors import InUse, SystemFault, UsageError

SUBUID = Path("/etc/subuid")
SUBGID = Path("/etc/subgid")
# Containers of root may use what is given to one of these (podman's name for it is the second).
OWNERS = ("root", "containers")
SIZE = 65536
HIGH = range(524288, 1879048192, SIZE)
_LEASES = "leases.json"


class Span(msgspec.Struct, frozen=True):
    """`size` ids from `first` on."""

    first: int
    size: int

    def overlaps(self, other: Span) -> bool:
        return self.first < other.first + other.size and other.first < self.first + self.size


def read_given(path: Path) -> list[tuple[str, Span]]:
    """The lines of /etc/subuid or /etc/subgid: owner, as a name or a number, and span."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        owner, _, numbers = line.strip().partition(":")
        first, _, count = numbers.partition(":")
        with suppress(ValueError):
            if owner and not owner.startswith("#") and int(count) > 0:
                found.append((owner, Span(int(first), int(count))))
    return found


def given_to_user(uid: int) -> tuple[Span, Span] | None:
    """The first range of users and of groups that belong to an ordinary user; None without."""
    names = {str(uid)}
    with suppress(KeyError):
        names.add(pwd.getpwuid(uid).pw_name)
    users, groups = (
        next((span for owner, span in read_given(path) if owner in names), None)
        for path in (SUBUID, SUBGID)
    )
    return (users, groups) if users and groups else None


@contextmanager
def _locked() -> Iterator[dict[str, int]]:
    """The leases, first id by container; what is changed is kept."""
    place = folder.make_run_directory() / "ids"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        held = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SystemFault(f"open the id ranges in {place}", error) from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        leases = _load(place / _LEASES)
        before = dict(leases)
        yield leases
        if leases != before:
            draft = place / f".{_LEASES}"
            draft.write_bytes(msgspec.json.encode(leases))
            draft.rename(place / _LEASES)
    finally:
        os.close(held)


def _load(path: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} holds no id ranges of pyinit ({error}); remove it") from None


def lease(name: str) -> Span:
    """A range of SIZE ids that no other container has, for users and groups alike.

    Raises InUse when there is none left, SystemFault.
    """
    with _locked() as leases:
        taken = set(leases.values())
        for first in _candidates():
            if first not in taken:
                leases[name] = first
                return Span(first, SIZE)
    raise InUse("every range of user ids is leased: run `pyinit-ctl gc`, or give root more of them")


def release(name: str) -> None:
    """Give a container's range back; nothing where it has none."""
    if (folder.run_directory() / "ids").is_dir():
        with _locked() as leases:
            leases.pop(name, None)


def leased() -> list[str]:
    """The containers that have a range."""
    if not (folder.run_directory() / "ids").is_dir():
        return []
    with _locked() as leases:
        return list(leases)


def _candidates() -> Iterator[int]:
    users, groups = read_given(SUBUID), read_given(SUBGID)
    own = [span for owner, span in users if owner in OWNERS and (owner, span) in groups]
    if own:
        for span in own:
            yield from range(span.first, span.first + span.size - SIZE + 1, SIZE)
        return
    others = [span for _, span in (*users, *groups)]
    yield from (first for first in HIGH if not _taken(Span(first, SIZE), others))


def _taken(wanted: Span, others: Sequence[Span]) -> bool:
    return any(wanted.overlaps(other) for other in others)
