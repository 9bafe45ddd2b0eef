"""Prints the number of each signal it gets, after a line `ready PID`. Ends with its input.

With the argument `child` it first starts a second process of its own group that does the
same, and prefixes its lines with `child`.
"""

import os
import signal
import sys


def tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main() -> None:
    prefix = ""
    if "child" in sys.argv[1:] and os.fork() == 0:
        prefix = "child "
    for number in {*range(1, 32), *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)}:
        if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTTOU):
            signal.signal(number, lambda number, _frame: tell(f"{prefix}{number}"))
    tell(f"{prefix}ready {os.getpid()}")
    while os.read(0, 1):
        pass


main()
