"""Taking on a command's user and powers, for a moment in a thread or for good in a child."""

from __future__ import annotations

import os

from pyinit.init.users import User
from pyinit.linux.prctl import set_no_new_privs
from pyinit.spec.privileges import Privileges


def limit_thread(privileges: Privileges, seccomp: bytes | None) -> None:
    """Give up, for the calling thread, what the workload may not have."""
    if privileges.no_new_privs or seccomp:
        set_no_new_privs()


def become(user: User) -> None:
    """Take on the user."""


def become_init() -> None:
    """Be root again."""


def apply_in_child(privileges: Privileges, user: User, seccomp: bytes | None) -> None:
    """Take on the user for good, in a forked child."""
    limit_thread(privileges, seccomp)
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
