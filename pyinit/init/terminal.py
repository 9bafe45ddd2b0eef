"""Pseudo-terminals of the container's own devpts (pts(4), ioctl_tty(2))."""

from __future__ import annotations

import fcntl
import os
import struct

from pyinit.errors import Unsupported

# asm-generic/ioctls.h; the module termios is a file more to load.
TIOCSCTTY = 0x540E
TIOCSWINSZ = 0x5414
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441


class TerminalFactory:
    """Makes ptys in the devpts that `pts`, a descriptor of its folder, stands for."""

    def __init__(self, pts: int | None) -> None:
        self._pts = pts

    def open(self, rows: int, columns: int, owner: int) -> tuple[int, int]:
        """Master and slave; the size is set before anybody can ask for it.

        The slave is taken from the master itself, not by a path that the container could
        have put something else under. `owner` is the uid the slave is given to.
        Raises Unsupported where the container has no devpts.
        """
        if self._pts is None:
            raise Unsupported("the container has no /dev/pts: mount a devpts there for terminals")
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        master = os.open("ptmx", flags, dir_fd=self._pts)
        try:
            fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
            slave = fcntl.ioctl(master, TIOCGPTPEER, flags)
        except BaseException:
            os.close(master)
            raise
        set_size(master, rows, columns)
        os.fchown(slave, owner, -1)
        return master, slave


def set_size(terminal: int, rows: int, columns: int) -> None:
    """TIOCSWINSZ, with the sizes brought into what the kernel's 16 bits hold."""
    rows, columns = (min(max(value, 0), 0xFFFF) for value in (rows, columns))
    fcntl.ioctl(terminal, TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
