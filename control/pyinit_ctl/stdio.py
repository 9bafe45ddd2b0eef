"""Our own three streams: what is said on them, which of them a command may have, what instead.

A pipe, FIFO or socket is handed over. A terminal could be typed into by the container
(TIOCSTI) and a file could be opened anew for writing through /proc, so of anything else
only the bytes go across, by way of a pipe that is made here.
"""

from __future__ import annotations

import _stat
import posix

from pyinit.errors import PyinitError, SystemFault, UsageError

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pyinit_ctl.relay import Pump

NAMES = ("stdin", "stdout", "stderr")


class Stdio:
    """What goes along with an Exec call: `descriptors` by stream name, and our `pumps`."""

    __slots__ = ("_made", "_outputs", "descriptors", "inputs", "outputs")

    def __init__(self) -> None:
        self.descriptors: dict[str, int] = {}
        self.inputs: list[Pump] = []
        self.outputs: list[Pump] = []
        self._made: list[int] = []
        self._outputs: dict[tuple[int, int, int], int] = {}

    @classmethod
    def plan(cls, interactive: bool) -> Stdio:
        """For the streams 0, 1 and 2 of this process. Raises SystemFault."""
        stdio = cls()
        try:
            if interactive:
                stdio._plan_input()
            for number in (1, 2):
                stdio._plan_output(number)
        except OSError as error:
            raise SystemFault("make a pipe for the command's streams", error) from None
        return stdio

    def handed_over(self) -> None:
        """The init has the descriptors: let go of our copies, or nobody would see an end.

        Whoever reads our stdout learns that the command closed its own only if we hold it
        no longer. Our stderr stays, for what there is to tell.
        """
        for descriptor in self._made:
            posix.close(descriptor)
        self._made.clear()
        null = -1
        for number in (0, 1):
            if self.descriptors.get(NAMES[number]) == number:
                null = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC) if null < 0 else null
                posix.dup2(null, number)

    def _plan_input(self) -> None:
        mode = posix.fstat(0).st_mode
        if _may_be_passed(mode):
            self.descriptors["stdin"] = 0
        elif not _is_null(0):
            from pyinit_ctl.relay import Pump

            reading, writing = posix.pipe()
            posix.set_blocking(writing, False)
            self._hand_over("stdin", reading)
            self.inputs.append(Pump(0, writing, closes=writing))

    def _plan_output(self, number: int) -> None:
        status = posix.fstat(number)
        if _may_be_passed(status.st_mode):
            self.descriptors[NAMES[number]] = number
        elif not _is_null(number):
            # One pipe where both are the same file or terminal keeps the order of what is
            # written to them.
            same = (status.st_dev, status.st_ino, status.st_rdev)
            if same not in self._outputs:
                self._outputs[same] = self._make_output(number)
            self.descriptors[NAMES[number]] = self._outputs[same]

    def _make_output(self, number: int) -> int:
        from pyinit_ctl.relay import Pump

        reading, writing = posix.pipe()
        posix.set_blocking(reading, False)
        self._made.append(writing)
        self.outputs.append(Pump(reading, number, closes=reading))
        return writing

    def _hand_over(self, name: str, descriptor: int) -> None:
        self.descriptors[name] = descriptor
        self._made.append(descriptor)


def _may_be_passed(mode: int) -> bool:
    return _stat.S_ISFIFO(mode) or _stat.S_ISSOCK(mode)


def _is_null(number: int) -> bool:
    """Whether it is /dev/null, character device 1:3: the init opens one of its own."""
    status = posix.fstat(number)
    return _stat.S_ISCHR(status.st_mode) and status.st_rdev == posix.makedev(1, 3)


def check_outputs(stdio: Stdio) -> None:
    """Raise UsageError if output was lost on our side, as on a full disk."""
    for pump in stdio.outputs:
        if pump.failure is not None:
            raise UsageError(f"the command's output could not be written: {pump.failure.strerror}")


def open_missing() -> None:
    """Put /dev/null on each of 0, 1 and 2 that is closed, or the next socket takes its number."""
    for number in range(3):
        try:
            posix.fstat(number)
        except OSError:
            posix.open("/dev/null", posix.O_RDWR)  # takes the lowest free number: this one


def say(message: str) -> None:
    """One line on stderr; a terminal's control characters in it are made harmless."""
    from pyinit_ctl.printable import printable

    try:
        posix.write(2, f"pyinit-ctl: {printable(message)}\n".encode(errors="backslashreplace"))
    except OSError:
        return  # nobody reads it: the exit status has to do


def say_fault(error: OSError) -> int:
    """The line for a call of the system that failed where nobody foresaw it. Returns 125."""
    about = "" if error.filename is None else f"{error.filename}: "
    say(f"{about}{error.strerror or error}")
    return PyinitError.status


def print_line(text: str) -> None:
    """A line on stdout. Raises SystemFault."""
    try:
        posix.write(1, f"{text}\n".encode(errors="backslashreplace"))
    except OSError as error:
        raise SystemFault("write to standard output", error) from None
