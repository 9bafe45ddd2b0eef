"""`pyinit-ctl dial`: a control socket on standard input and output, for the other end of ssh."""

from __future__ import annotations

import _socket
import posix

from pyinit.errors import PyinitError, SystemFault, UsageError
from pyinit_ctl import registry
from pyinit_ctl.exec_fast import open_missing, print_line, say

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = "pyinit-ctl dial TARGET"
ABOUT = "Join standard input and output to a control socket, as `exec --host` does by ssh."

_CHUNK = 1 << 16


def main(words: Sequence[str]) -> int:
    """Run the verb with the words behind it. Returns the exit status."""
    open_missing()
    try:
        if "--help" in words[:1]:
            print_line(f"Usage: {USAGE}\n\n{ABOUT}")
            return 0
        if len(words) != 1:
            raise UsageError(f"dial needs a target and nothing else: {USAGE}")
        return _relay(registry.connect(registry.resolve(words[0])))
    except PyinitError as error:
        say(str(error))
        return error.status
    except KeyboardInterrupt:
        return 130


def _relay(link: _socket.socket) -> int:
    """Bytes both ways until the control socket ends. The end of stdin is passed on."""
    import select

    reading = True
    while True:
        poll = select.poll()
        poll.register(link.fileno(), select.POLLIN)
        if reading:
            poll.register(0, select.POLLIN)
        ready = {found for found, _ in poll.poll()}
        try:
            if 0 in ready:
                reading = _send(link, posix.read(0, _CHUNK))
            if link.fileno() in ready and not _receive(link):
                return 0
        except OSError as error:
            raise SystemFault("relay the control socket", error) from None


def _send(link: _socket.socket, data: bytes) -> bool:
    """Pass on what came; whether there will be more."""
    if data:
        link.sendall(data)
    else:
        link.shutdown(_socket.SHUT_WR)
    return bool(data)


def _receive(link: _socket.socket) -> bool:
    """Pass on what came; whether there will be more. Descriptors are not asked for: none come."""
    rest = memoryview(data := link.recv(_CHUNK))
    while rest:
        rest = rest[posix.write(1, rest) :]
    return bool(data)
