"""Loading what PID 1 runs on: before it enters the root, or in a thread that stays outside.

Whoever has changed to the container's root finds the container's files by every path, and
code among them is the container's. A thread that was started before belongs to the host's
mount namespace still: it alone may import then.
"""

from __future__ import annotations

import _thread
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Sequence
else:
    import _signal

SWITCH_S = 0.0005
_loaded = False  # a process and what it forks have their modules in common


def is_loaded() -> bool:
    """Whether this process, or the one that it was forked from, has all of init loaded."""
    return _loaded


def load() -> None:
    """Load all of init, and what else it would load late. The second time it does nothing.

    For a program that makes many containers: what their PID 1s are forked with they need not
    load, and they have it in common.
    """
    global _loaded
    if _loaded:
        return
    # First of all, since what comes after it would load the libraries in full.
    import_module("pyinit.init.libraries")
    import_module("pyinit.init.journal")
    import_module("pyinit.init.seal").preload()
    import_module("pyinit.init.users").prepare_for_root()
    import_module("pyinit.init.main")
    _loaded = True


class OutsideLoader:
    """A thread that loads init from outside the root that the other threads have entered.

    To be made before the mount namespace is left. It waits for `begin`; the end is told to
    the main thread, which has it blocked, by SIGCHLD.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.done = False
        self._interval = sys.getswitchinterval()
        self._gate = _thread.allocate_lock()
        self._gate.acquire()
        self._main = _thread.get_ident()
        # The main thread is to have its turn soon when a signal wakes it.
        sys.setswitchinterval(SWITCH_S)
        self._thread = _thread.start_new_thread(self._run, ())
        sys.meta_path.insert(0, _OneThread(self._thread))

    def begin(self) -> None:
        """Let the thread load."""
        self._gate.release()

    def _run(self) -> None:
        self._gate.acquire()
        try:
            load()
        except BaseException as failure:  # the main thread raises it
            self.failure = failure
        finally:
            sys.setswitchinterval(self._interval)
            self.done = True
            _signal.pthread_kill(self._main, _signal.SIGCHLD)


class _OneThread:
    """First of the finders: all threads but one find nothing, for their "/" is another's."""

    def __init__(self, thread: int) -> None:
        self._thread = thread

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: object = None) -> None:
        if _thread.get_ident() != self._thread:
            raise ModuleNotFoundError(f"{name}: nothing is imported in the container", name=name)
