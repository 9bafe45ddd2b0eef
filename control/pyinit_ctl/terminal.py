"""Our own terminal joined to the pty of a command: raw, resized, detached from, restored."""

from __future__ import annotations

import _signal
import errno
import os
import select
import stat
import termios
import time

from pyinit.errors import ProtocolError
from pyinit_ctl.relay import CHUNK, GRACE

TYPE_CHECKING = False

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from pyinit.varlink.envelope import Reply
    from pyinit_ctl.wire import Awaited

_ENDING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)

# What a pipe or terminal that poll(2) calls writable takes without blocking: PIPE_BUF.
_WRITE = 4096


class Detached(Exception):
    """The user pressed the keys that detach; `typed` is what came before them in one read."""

    def __init__(self, typed: bytes) -> None:
        super().__init__(typed)
        self.typed = typed


class Signalled(BaseException):
    """A signal that ends this process came in; `number` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def size_of(*descriptors: int) -> tuple[int, int]:
    """Rows and columns of the first that is a terminal with a size, else 24 and 80."""
    for descriptor in descriptors:
        try:
            columns, rows = os.get_terminal_size(descriptor)
        except OSError:
            continue
        if rows and columns:
            return rows, columns
    return 24, 80


def check_master(descriptor: int) -> None:
    """Raise ProtocolError unless it is a pty's master: the init is not trusted to send one.

    It is character device 5:2 (devices.txt), and answers as a terminal.
    """
    status = os.fstat(descriptor)
    if not (
        stat.S_ISCHR(status.st_mode)
        and status.st_rdev == os.makedev(5, 2)
        and os.isatty(descriptor)
    ):
        raise ProtocolError("the container sent something else than a terminal")


class RawTerminal:
    """Makes a terminal raw for the time of a `with`, if it is one, and takes over signals.

    On every way out it is as it was before: after INT, TERM, HUP and QUIT, which raise
    Signalled, too. After a stop by SIGSTOP and SIGCONT it is raw again.
    """

    __slots__ = ("_before", "_descriptor", "_handlers", "_master")

    def __init__(self, descriptor: int | None, master: int) -> None:
        self._descriptor = descriptor
        self._master = master
        self._before: list[Any] | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if self._descriptor is not None and os.isatty(self._descriptor):
            self._before = termios.tcgetattr(self._descriptor)
        for number in _ENDING:
            if _signal.getsignal(number) != _signal.SIG_IGN:
                self._handle(number, _raise_signalled)
        self._handle(_signal.SIGWINCH, self.resized)
        self._handle(_signal.SIGCONT, self._continued)
        try:
            self._continued()
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _handle(self, number: int, handler: Any) -> None:
        self._handlers[number] = _signal.signal(number, handler)

    def _restore(self) -> None:
        for number in self._handlers:
            _signal.signal(number, _signal.SIG_IGN)
        if self._before is not None and self._descriptor is not None:
            _set_attributes(self._descriptor, self._before)
        for number, handler in self._handlers.items():
            _signal.signal(number, handler)

    def _continued(self, *_: object) -> None:
        if self._before is not None and self._descriptor is not None:
            _set_attributes(self._descriptor, raw(self._before))
        self.resized()

    def resized(self, *_: object) -> None:
        """Make the command's terminal as large as ours: TIOCSWINSZ on the master."""
        try:
            termios.tcsetwinsize(self._master, size_of(0, 1, 2))
        except termios.error:
            return  # the pty has gone: the end of the exec will tell


def _set_attributes(descriptor: int, attributes: list[Any]) -> None:
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    except termios.error:
        return  # its window was closed: there is nothing left to set or restore


def raw(attributes: list[Any]) -> list[Any]:
    """The attributes of a terminal that passes every byte on: cfmakeraw of termios(3)."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = attributes
    iflag &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    oflag &= ~termios.OPOST
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    changed = list(characters)
    changed[termios.VMIN], changed[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, changed]


class DetachKeys:
    """Finds a sequence of keys in what is typed."""

    __slots__ = ("_keys", "_matched")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def filter(self, typed: bytes) -> tuple[bytes, bool]:
        """What of `typed` goes on, and whether the sequence is complete.

        The beginning of a sequence is held back until it turns out to be none.
        """
        if not self._keys:
            return typed, False
        passed = bytearray()
        for byte in typed:
            if byte != self._keys[self._matched]:
                passed += self._keys[: self._matched]
                self._matched = 0
            if byte != self._keys[self._matched]:
                passed.append(byte)
                continue
            self._matched += 1
            if self._matched == len(self._keys):
                self._matched = 0
                return bytes(passed), True
        return bytes(passed), False


class Keyboard:
    """stdin as the way into a command. `is_raw`: where it is a terminal, that passes all bytes."""

    __slots__ = ("_detach", "_is_terminal")

    def __init__(self, keys: bytes, *, is_raw: bool) -> None:
        self._detach = DetachKeys(keys)
        self._is_terminal = is_raw and os.isatty(0)

    def read(self, size: int) -> bytes | None:
        """What came in, less the keys that detach; None at the end.

        Raises Detached, and Signalled when the terminal has gone: whoever reads one is woken
        a moment before SIGHUP comes, and nobody has typed an end-of-file.
        """
        try:
            data = os.read(0, size)
        except OSError:
            data = b""
        if data:
            passed, detach = self._detach.filter(data)
            if detach:
                raise Detached(passed)
            return passed
        if self._is_terminal and _signal.getsignal(_signal.SIGHUP) != _signal.SIG_IGN:
            raise Signalled(_signal.SIGHUP)
        return None


class Joined:
    """stdin → master → stdout, until the command ends. Neither direction waits for the other.

    `interactive`: whether stdin is read. The end of a stdin that is no terminal is typed as
    end-of-file. `output_failed` is set when stdout took no more.
    """

    __slots__ = ("_keyboard", "_master", "_reads", "_to_master", "_to_stdout", "output_failed")

    def __init__(self, master: int, keys: bytes, interactive: bool) -> None:
        self._master = master
        self._keyboard = Keyboard(keys, is_raw=True)
        self._reads = interactive
        self._to_master = b""
        self._to_stdout = b""
        self.output_failed = False

    def run(self, link: Awaited) -> Reply:
        """Relay until `link` has a reply, and return that. Raises Detached, PyinitError."""
        while (reply := link.pull()) is None:
            ready = self._poll(link.fileno(), None)
            if link.fileno() in ready:
                link.read()
            self._step(ready)
        return reply

    def drain(self) -> None:
        """After the command's end: its last output, for GRACE seconds at the most.

        What it wrote reaches the master by a worker of the kernel, a moment later; the end
        comes once no process has the terminal open.
        """
        self._reads = False
        end = time.monotonic() + GRACE
        while self._master >= 0 or self._to_stdout:
            left = end - time.monotonic()
            if left <= 0 or self.output_failed:
                return
            self._step(self._poll(None, left))

    def _poll(self, link: int | None, timeout: float | None) -> dict[int, int]:
        poll = select.poll()
        if link is not None:
            poll.register(link, select.POLLIN)
        if self._reads and not self._to_master:
            poll.register(0, select.POLLIN)
        if self._to_stdout:
            poll.register(1, select.POLLOUT)
        if self._master >= 0 and (events := self._master_events()):
            poll.register(self._master, events)
        return dict(poll.poll(None if timeout is None else timeout * 1000))

    def _master_events(self) -> int:
        reading = 0 if self._to_stdout else select.POLLIN
        return reading | (select.POLLOUT if self._to_master else 0)

    def _step(self, ready: dict[int, int]) -> None:
        if 1 in ready and self._to_stdout:
            self._write_output()
        if 0 in ready:
            self._read_input()
        event = ready.get(self._master, 0)
        if event & select.POLLOUT and self._to_master:
            self._write_input()
        # A hang-up comes with what there is still to be read.
        if event & ~select.POLLOUT and not self._to_stdout:
            self._read_output()

    def _read_input(self) -> None:
        try:
            typed = self._keyboard.read(CHUNK)
        except Detached as detached:
            self._to_master = detached.typed
            self._write_input()  # but for what a command that reads nothing has no room for
            raise
        if typed is None:
            self._reads = False
            typed = b"\x04"
        self._to_master = typed

    def _write_input(self) -> None:
        try:
            self._to_master = self._to_master[os.write(self._master, self._to_master) :]
        except BlockingIOError:
            return
        except OSError:
            self._to_master = b""

    def _read_output(self) -> None:
        try:
            self._to_stdout = os.read(self._master, CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # what a master says when no slave is open
                raise
        if not self._to_stdout:
            self._master = -1

    def _write_output(self) -> None:
        try:
            self._to_stdout = self._to_stdout[os.write(1, self._to_stdout[:_WRITE]) :]
        except BlockingIOError:
            return
        except OSError:
            self._to_stdout = b""
            self.output_failed = True
            self._master = -1


def _raise_signalled(number: int, _frame: object) -> None:
    raise Signalled(number)
