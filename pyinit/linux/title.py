"""What /proc/PID/cmdline and comm show of this process (proc(5))."""

from __future__ import annotations

import ctypes

from pyinit.linux.prctl import set_name

# Fields of /proc/PID/stat, counted after the name in parentheses: arg_start, arg_end.
_ARGUMENTS_START = 45
_ARGUMENTS_END = 46


def set_title(title: str) -> None:
    """Put `title` in the place of the command line, cut to the room that it had.

    The arguments lie in this process's own memory, which the kernel reads when asked; they
    may name paths of the host that are nobody's business in a container.
    """
    set_name(title)
    start, end = _arguments()
    room = end - start
    if start and room > 1:
        text = title.encode()[: room - 1]
        ctypes.memmove(start, text.ljust(room, b"\0"), room)


def _arguments() -> tuple[int, int]:
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return int(fields[_ARGUMENTS_START]), int(fields[_ARGUMENTS_END])
