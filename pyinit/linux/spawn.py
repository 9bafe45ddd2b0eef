"""posix_spawn(3) of libc: a child that borrows the caller's memory until it executes.

Used in place of os.posix_spawn because that one keeps the GIL while the caller is
suspended, can't close what lies above standard error, and knows nothing of cgroups.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Sequence

from pyinit.linux.libc import libc

POSIX_SPAWN_RESETIDS = 0x01
POSIX_SPAWN_SETSIGDEF = 0x04
POSIX_SPAWN_SETSIGMASK = 0x08
POSIX_SPAWN_SETSID = 0x80
POSIX_SPAWN_SETCGROUP = 0x100

# glibc on x86_64: 336 and 80 bytes; musl: 336 and 80. Room to spare for the others.
_Attributes = ctypes.c_byte * 512
_FileActions = ctypes.c_byte * 256
_SignalSet = ctypes.c_byte * 128

StringArray = ctypes.Array[ctypes.c_char_p]

libc.posix_spawn.argtypes = [
    ctypes.POINTER(ctypes.c_int),
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
]

# glibc 2.34.
_closefrom = getattr(libc, "posix_spawn_file_actions_addclosefrom_np", None)
# glibc 2.39.
_set_cgroup = getattr(libc, "posix_spawnattr_setcgroup_np", None)

KNOWS_CGROUPS = _set_cgroup is not None
"""Whether `posix_spawn` can start a child in a cgroup v2."""

_FLAGS = POSIX_SPAWN_RESETIDS | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID


def _fresh_session(flags: int = _FLAGS) -> ctypes.Array[ctypes.c_byte]:
    """Attributes of every child: a session of its own, no signal blocked, handled or ignored.

    Its effective ids become the real ones of the thread that spawns.
    """
    attributes = _Attributes()
    # Filled by hand: sigfillset leaves out 32 and 33, which libc keeps to itself, and what is
    # left out of those two is ignored in the child.
    everything = _SignalSet(*[-1] * ctypes.sizeof(_SignalSet))
    nothing = _SignalSet()
    libc.sigemptyset(ctypes.byref(nothing))
    libc.posix_spawnattr_init(ctypes.byref(attributes))
    libc.posix_spawnattr_setsigdefault(ctypes.byref(attributes), ctypes.byref(everything))
    libc.posix_spawnattr_setsigmask(ctypes.byref(attributes), ctypes.byref(nothing))
    libc.posix_spawnattr_setflags(ctypes.byref(attributes), ctypes.c_short(flags))
    return attributes


_ATTRIBUTES = _fresh_session()


def _in_cgroup(cgroup: int) -> ctypes.Array[ctypes.c_byte]:
    assert _set_cgroup is not None
    attributes = _fresh_session(_FLAGS | POSIX_SPAWN_SETCGROUP)
    _set_cgroup(ctypes.byref(attributes), ctypes.c_int(cgroup))
    return attributes


class _FileActionList:
    """What makes `stdio` the child's 0, 1 and 2, and closes the rest."""

    def __init__(self, stdio: tuple[int, int, int]) -> None:
        self._actions = _FileActions()
        self.reference = ctypes.byref(self._actions)
        libc.posix_spawn_file_actions_init(self.reference)
        for target, source in enumerate(stdio):
            libc.posix_spawn_file_actions_adddup2(self.reference, source, target)
        if _closefrom is not None:
            _closefrom(self.reference, 3)

    def __del__(self) -> None:
        libc.posix_spawn_file_actions_destroy(self.reference)


# They name numbers, and of those the lowest that are free come again and again.
_file_actions = functools.lru_cache(maxsize=64)(_FileActionList)


def string_array(words: Sequence[bytes]) -> StringArray:
    """The words as execve(2) takes them. It can be used any number of times."""
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)


def posix_spawn(
    path: bytes,
    argv: Sequence[bytes],
    environment: StringArray,
    stdio: tuple[int, int, int],
    cgroup: int | None = None,
) -> int:
    """Start the program in a session of its own and return its pid.

    `environment` is a `string_array`. `stdio` are the descriptors that become 0, 1 and 2;
    each must be above 2. `cgroup` is the descriptor of a cgroup v2, where KNOWS_CGROUPS.
    Otherwise the child takes the calling thread's cgroup, and in any case its real ids,
    capabilities, root, working folder and umask. It has no other descriptor than the three.
    Raises OSError with the path, also where execve(2) failed.
    """
    attributes = _ATTRIBUTES if cgroup is None else _in_cgroup(cgroup)
    actions = _file_actions(stdio)
    pid = ctypes.c_int()
    error = libc.posix_spawn(
        ctypes.byref(pid), path, actions.reference, attributes, string_array(argv), environment
    )
    if error:
        raise OSError(error, os.strerror(error), os.fsdecode(path))
    return pid.value
