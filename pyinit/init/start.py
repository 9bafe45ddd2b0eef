"""The start of PID 1 inside a container of our own making: load, enter the root, seal, run."""

from __future__ import annotations

import sys
from collections.abc import Callable

# First of all, since what comes after it would load the libraries in full.
from pyinit.init import libraries  # noqa: F401
from pyinit.init.config import InitConfig
from pyinit.init.journal import configure
from pyinit.init.main import run
from pyinit.init.seal import preload, seal, settle_memory

# How long the end waits for a slow disk to take init's own last lines, in seconds.
JOURNAL_PATIENCE = 2.0
# Seconds, too: longer than anything here keeps the GIL.
NEVER = 1000.0


def seal_and_run(config: InitConfig, enter: Callable[[], None]) -> int:
    """Be PID 1 in the root that `enter` changes to. Returns the exit code to leave with.

    Everything that will be used is loaded before, for afterwards nothing can be.
    """
    preload()
    journal = configure(config.log, config.log_level, config.log_format)
    enter()
    seal()
    settle_memory()
    # A thread that has waited so long for the GIL asks for it, and a child that is forked then
    # would give it away for ever, since it has no other thread (pyinit.linux.clone). All of ours
    # let go of it soon, by themselves.
    sys.setswitchinterval(NEVER)
    # Not sooner: to enter some namespaces there has to be one thread alone.
    journal.start()
    code = run(config)
    journal.finish(JOURNAL_PATIENCE)
    return code
