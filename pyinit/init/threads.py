"""Threads beside the main one, which alone is there for signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


def start_thread(work: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread that takes no signal from its first instruction on.

    The kernel gives one that the main thread has blocked, to read it from a descriptor, to
    any thread that has not (signal(7)). Raises RuntimeError where no thread can be made.
    """
    thread = threading.Thread(target=work, name=name, daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return thread
