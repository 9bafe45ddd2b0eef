"""`pyinit-ctl dial`: a control socket on standard input and output, for the other end of ssh."""

from __future__ import annotations

import _socket
import posix

from pyinit.errors import PyinitError, SystemFault, UsageError
from pyinit_ctl import registry
from pyinit_ctl.stdio import open_missing, print_line, say

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = "pyinit-ctl dial [--hang-up] TARGET"
ABOUT = (
    "Join standard input and output to a control socket, as `exec --host` does by ssh.\n"
    "With --hang-up the end of standard input closes the connection; ssh says nothing else\n"
    "when the client at its other end was killed."
)

HANG_UP = "--hang-up"

_CHUNK = 1 << 16


def main(words: Sequence[str]) -> int:
    """Run the verb with the words behind it. Returns the exit status."""
    open_missing()
    try:
        if "--help" in words[:1]:
            print_line(f"Usage: {USAGE}\n\n{ABOUT}")
            return 0
        hangs_up = HANG_UP in words[:1]
        if len(words) != 1 + hangs_up:
            raise UsageError(f"dial needs a target and nothing else: {USAGE}")
        return _relay(registry.connect(registry.resolve(words[-1])), hangs_up)
    except PyinitError as error:
        say(str(error))
        return error.status
    except KeyboardInterrupt:
        return 130


def _relay(link: _socket.socket, hangs_up: bool) -> int:
    """Bytes both ways until the control socket ends, or nobody reads our stdout any more.

    The end of stdin is passed on, and is not the end, unless `hangs_up`: an answer may still
    come.
    """
    import select

    reading = True
    while True:
        poll = select.poll()
        poll.register(link.fileno(), select.POLLIN)
        poll.register(1, 0)  # POLLERR or POLLHUP once its reader has gone
        if reading:
            poll.register(0, select.POLLIN)
        ready = {found for found, _ in poll.poll()}
        try:
            # First what comes: there may be a last word behind which nothing is taken.
            if link.fileno() in ready and not _receive(link):
                return 0
            if 0 in ready and reading:
                data = posix.read(0, _CHUNK)
                if hangs_up and not data:
                    return 0
                reading = _send(link, data)
            elif 1 in ready:
                return 0
        except OSError as error:
            raise SystemFault("relay the control socket", error) from None


def _send(link: _socket.socket, data: bytes) -> bool:
    """Pass on what came; whether there will be more."""
    try:
        if data:
            link.sendall(data)
        else:
            link.shutdown(_socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        return False  # the init takes no more: what it has sent is still to be read
    return bool(data)


def _receive(link: _socket.socket) -> bool:
    """Pass on what came; whether there will be more. Descriptors are not asked for: none come."""
    try:
        rest = memoryview(data := link.recv(_CHUNK))
    except ConnectionResetError:
        return False  # closed, with something unread on its side
    while rest:
        rest = rest[posix.write(1, rest) :]
    return bool(data)
