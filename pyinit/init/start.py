"""The start of PID 1 inside a container of our own making: enter the root, start, seal, run.

Two orders. Whoever has time loads first: `seal_and_run`. With a command that waits for
nobody, that goes first, and init is loaded while it runs already: `start_and_run`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from pyinit.errors import PyinitError
from pyinit.init.brief import conclude
from pyinit.init.config import Adopted, InitConfig
from pyinit.init.early import start_main
from pyinit.init.loading import OutsideLoader, is_loaded, load
from pyinit.init.meanwhile import Meanwhile, block_signals
from pyinit.init.ready import ReadyChannel
from pyinit.init.record import write_exit_record
from pyinit.linux.dispositions import reset_hidden_signals
from pyinit.linux.prctl import set_dumpable
from pyinit.spec.status import ExitStatus

# How long a command may take that ends before init has begun to run on trio, in seconds.
BRIEF = 0.005
FAILED = 125

# How long the end waits for a slow disk to take init's own last lines, in seconds.
JOURNAL_PATIENCE = 2.0


def seal_and_run(config: InitConfig, enter: Callable[[], None]) -> int:
    """Be PID 1 in the root that `enter` changes to. Returns the exit code to leave with.

    Everything that will be used is loaded before, for afterwards nothing can be.
    """
    load()
    enter()
    return _run(config)


def start_and_run(config: InitConfig, enter: Callable[[], None], *, outside: bool) -> int:
    """The same for a command that is started as soon as the root is entered.

    With `outside` it is `enter` that leaves the mount namespace, and what is not loaded yet
    is loaded by a thread that stays behind. Then the command must not have the power to
    look into PID 1 (CAP_SYS_PTRACE), where the host's root is to be seen meanwhile.
    """
    set_dumpable(False)
    reset_hidden_signals()
    block_signals()
    loader = None
    if outside and not is_loaded():
        loader = OutsideLoader()
    else:
        load()
    enter()
    try:
        main = start_main(config)
    except (PyinitError, OSError) as error:
        return _not_started(config, error)
    try:
        return _live(config, Meanwhile(main), loader)
    except BaseException as error:  # nobody waits any more to be told
        return _broken(config, error)


def _live(config: InitConfig, meanwhile: Meanwhile, loader: OutsideLoader | None) -> int:
    """Wait until the command has ended or init is loaded, and be that then."""
    if loader is None:
        meanwhile.wait(BRIEF)
    else:
        loader.begin()
        while not (loader.done or meanwhile.ended_alone()):
            meanwhile.wait(None)
    status = meanwhile.ended_alone()
    if status is not None:
        return conclude(config, meanwhile.main.logged, status)
    if loader is not None and loader.failure is not None:
        raise loader.failure
    return _run(_adopting(config, meanwhile))


def _broken(config: InitConfig, error: BaseException) -> int:
    """Init could not be loaded: the end of it, and with it of all that runs here."""
    reason = f"init could not go on: {error!r}"
    write_exit_record(config.exit_record, ExitStatus(code=FAILED), reason)
    if config.log is not None:
        with suppress(OSError):
            os.write(config.log, msgspec.json.encode({"level": "error", "event": reason}) + b"\n")
    return FAILED


def _not_started(config: InitConfig, error: PyinitError | OSError) -> int:
    ReadyChannel(config.ready).failed(error)
    status = ExitStatus(code=getattr(error, "status", FAILED))
    write_exit_record(config.exit_record, status, str(error))
    return status.exit_code


def _adopting(config: InitConfig, meanwhile: Meanwhile) -> InitConfig:
    main: Adopted = replace(meanwhile.main, status=meanwhile.status)
    return replace(config, ready=None, adopted=main, missed=tuple(meanwhile.missed))


def _run(config: InitConfig) -> int:
    from pyinit.init.journal import configure
    from pyinit.init.main import run
    from pyinit.init.seal import seal, settle_memory

    journal = configure(config.log, config.log_level, config.log_format)
    seal()
    settle_memory()
    # Its thread comes last: to enter some namespaces there has to be one alone.
    journal.start()
    code = run(config)
    journal.finish(JOURNAL_PATIENCE)
    return code
