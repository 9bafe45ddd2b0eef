"""Putting on a command's power and taking it off again: what makes a child harmless.

Two ways, for the two ways of spawning (`pyinit.init.spawn`):

- `limit_thread` once, then `become`, posix_spawn and `take_off` for each command. The
  thread keeps its own capabilities; the child loses them at execve. In between it has init's
  ids and no supplementary group, so what is the same for a command is not set again: a cold
  system call takes ten times what it does in a benchmark.
- `apply_in_child` in a forked child, for good.

What the thread wears is chosen so that nobody in the container can reach PID 1 through it
while it does:

- Only its *real* ids become the command's. Effective and saved ids stay init's, so ptrace,
  /proc/1/task, pidfd_getfd and prlimit, which want all three to match, refuse. So does
  dumpable, which a change of the effective id would have reset. The child sets its
  effective ids from the real ones (POSIX_SPAWN_RESETIDS: spawning has to ask for it), and
  execve copies those to the saved ones.
- It keeps its permitted capabilities, of which other users hold fewer: then the kernel
  refuses them its priority, scheduling policy and processors as well (cap_safe_nice).
- A signal needs only a real id to match and can name one thread (tgkill), so the thread
  blocks all of them: they wait for ever.
"""

from __future__ import annotations

import errno
import os
import resource
from contextlib import suppress

from pyinit.errors import PyinitError, SystemFault, Unsupported, UsageError
from pyinit.init.users import User
from pyinit.linux import capabilities, credentials, prctl
from pyinit.linux.capabilities import ThreadSets
from pyinit.linux.credentials import UNCHANGED
from pyinit.linux.seccomp import load_filter
from pyinit.spec.privileges import Privileges, Rlimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

_EVERY_SIGNAL = _signal.valid_signals()

# RLIMIT_LOCKS of Linux is without effect and without a name in Python.
_RLIMITS = {"locks": 10} | {
    name.removeprefix("RLIMIT_").lower(): value
    for name, value in vars(resource).items()
    if name.startswith("RLIMIT_")
}


def limit_thread(privileges: Privileges, seccomp: bytes | None = None) -> None:
    """Make sure that nothing the calling thread starts gets more than this. Irrevocable.

    The thread keeps the capabilities it holds, to change users with; `seccomp` is the BPF
    that its children run under, and has to let through what a thread needs to spawn.
    Raises Unsupported where this process lacks the power to limit, SystemFault otherwise.
    """
    _signal.pthread_sigmask(_signal.SIG_SETMASK, _EVERY_SIGNAL)
    _limit_capabilities(privileges)
    become_init()
    capabilities.clear_ambient()
    capabilities.set_inheritable(0)
    if privileges.no_new_privs:
        prctl.set_no_new_privs()
    if seccomp is not None:
        _load(seccomp)


def become(user: User, ambient: int = 0) -> None:
    """Let what the calling thread spawns with POSIX_SPAWN_RESETIDS be the user's.

    Root gets the thread's bounding set. Another user gets no capability but the set
    `ambient`. Where the user namespace has no groups to give, it gets none.
    The thread was limited before. It is as it was then if this raises: UsageError for an id
    that has no place in the container's user namespace, Unsupported where init may not change
    users.
    """
    try:
        if user.groups:
            _set_groups(user.groups)
        if user.gid != os.getegid():
            credentials.set_group_ids(user.gid, UNCHANGED, UNCHANGED)
        if ambient and user.uid != 0:
            capabilities.set_inheritable(ambient)
            capabilities.raise_ambient(ambient)
        if user.uid != os.geteuid():
            credentials.set_user_ids(user.uid, UNCHANGED, UNCHANGED)
    except OSError as error:
        become_init()
        raise _refusal(user, error) from None


def take_off(user: User, ambient: int = 0) -> None:
    """Undo a `become` with the same arguments, and no more than that."""
    if user.uid != (own := os.geteuid()):
        credentials.set_user_ids(own, UNCHANGED, UNCHANGED)
    if user.gid != (own := os.getegid()):
        credentials.set_group_ids(own, UNCHANGED, UNCHANGED)
    if user.groups:
        _set_groups(())
    if ambient and user.uid != 0:
        capabilities.clear_ambient()
        capabilities.set_inheritable(0)


def become_init() -> None:
    """Real ids as the effective ones, no supplementary group, no ambient set, whatever was."""
    credentials.set_user_ids(os.geteuid(), UNCHANGED, UNCHANGED)
    credentials.set_group_ids(os.getegid(), UNCHANGED, UNCHANGED)
    _set_groups(())
    if capabilities.get_sets().inheritable:
        capabilities.clear_ambient()
        capabilities.set_inheritable(0)


def apply_in_child(privileges: Privileges, user: User, seccomp: bytes | None = None) -> None:
    """Make the calling process, a forked child with one thread, the user's for good.

    To be called last before execve, with everything done that needs init's power. Working
    folder and umask are the caller's. Raises UsageError, Unsupported, SystemFault.
    """
    _limit_capabilities(privileges)
    _raise_hard_limits(privileges.rlimits)
    if seccomp is not None and not privileges.no_new_privs:
        _load(seccomp)  # takes CAP_SYS_ADMIN, which is about to go
    try:
        _change_user(user)
        _set_capabilities(privileges, user)
    except OSError as error:
        raise _refusal(user, error) from None
    _set_limits(privileges.rlimits)
    if privileges.no_new_privs:
        prctl.set_no_new_privs()
        if seccomp is not None:
            _load(seccomp)


def _limit_capabilities(privileges: Privileges) -> None:
    try:
        capabilities.limit_bounding_set(privileges.mask())
    except PermissionError:
        raise Unsupported(
            "init has no CAP_SETPCAP, so it can't take capabilities from commands:"
            " start it with that, or give the container all it holds"
        ) from None


def _load(program: bytes) -> None:
    try:
        load_filter(program)
    except OSError as error:
        if error.errno == errno.EACCES:
            raise Unsupported(
                "a seccomp filter takes CAP_SYS_ADMIN or no_new_privs:"
                " leave out no-new-privileges=false, or say seccomp=unconfined"
            ) from None
        raise SystemFault("load the seccomp filter", error) from None


def _set_groups(groups: tuple[int, ...]) -> None:
    # A user namespace made without privilege has /proc/self/setgroups on "deny"
    # (user_namespaces(7)). Without CAP_SETGID the next call fails, if it has to.
    with suppress(PermissionError):
        credentials.set_groups(groups)


def _change_user(user: User) -> None:
    _set_groups(user.groups)
    credentials.set_group_ids(user.gid, user.gid, user.gid)
    prctl.set_keep_capabilities(True)
    credentials.set_user_ids(user.uid, user.uid, user.uid)
    # A new effective id sets it to fs.suid_dumpable, which may be 1, and our memory is
    # still PID 1's.
    prctl.set_dumpable(False)


def _set_capabilities(privileges: Privileges, user: User) -> None:
    have = capabilities.get_sets().permitted
    if user.uid == 0:
        own = privileges.mask() & have
        capabilities.clear_ambient()
        capabilities.set_sets(ThreadSets(own, own, 0))
        return
    own = privileges.ambient_mask() & have
    capabilities.set_sets(ThreadSets(own, own, own))
    capabilities.clear_ambient()
    capabilities.raise_ambient(own)


def _refusal(user: User, error: OSError) -> PyinitError:
    if error.errno == errno.EINVAL:
        return UsageError(
            f"user {user.uid}:{user.gid} has no place in the container's user namespace:"
            " map more ids, or choose another user"
        )
    if error.errno == errno.EPERM:
        return Unsupported(
            f"init may not become user {user.uid}:{user.gid}: it takes CAP_SETUID, CAP_SETGID"
            " and each added capability; start init as root, or choose init's own user"
        )
    return SystemFault(f"become user {user.uid}:{user.gid}", error)


def _raise_hard_limits(limits: tuple[Rlimit, ...]) -> None:
    """Only what takes CAP_SYS_RESOURCE; the rest waits until nothing else is left to be done."""
    for limit in limits:
        soft, hard = resource.getrlimit(_RLIMITS[limit.name])
        if _below(hard, limit.hard):
            try:
                resource.setrlimit(_RLIMITS[limit.name], (soft, limit.hard))
            except (OSError, ValueError):
                raise UsageError(
                    f"ulimit {limit.name}={limit.soft}:{limit.hard}: more than the {hard} that"
                    " init has, or than the kernel allows"
                ) from None


def _set_limits(limits: tuple[Rlimit, ...]) -> None:
    for limit in limits:
        try:
            resource.setrlimit(_RLIMITS[limit.name], (limit.soft, limit.hard))
        except (OSError, ValueError) as error:
            raise UsageError(f"ulimit {limit.name}={limit.soft}:{limit.hard}: {error}") from None


def _below(one: int, other: int) -> bool:
    if one == resource.RLIM_INFINITY:
        return False
    return other == resource.RLIM_INFINITY or one < other
