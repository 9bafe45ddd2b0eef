"""Prints the number of each signal it gets, after a line `ready PID`. Ends with its input.

With the argument `child` it first starts a second process of its own group that does the
same, and prefixes its lines with `child`.
"""

import os
import select
import signal
import sys


def tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main() -> None:
    prefix = ""
    if "child" in sys.argv[1:] and os.fork() == 0:
        prefix = "child "
    # The C handler writes the number there, also when it comes just before the process waits.
    seen, written = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(written)
    for number in {*range(1, 32), *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)}:
        if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTTOU):
            signal.signal(number, lambda _number, _frame: None)
    tell(f"{prefix}ready {os.getpid()}")
    while True:
        ready, _, _ = select.select([0, seen], [], [])
        if seen in ready:
            for number in os.read(seen, 64):
                tell(f"{prefix}{number}")
        elif not os.read(0, 1):
            return


main()
