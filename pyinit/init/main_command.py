"""The container's own command: what it is started with, by whoever starts it."""

from __future__ import annotations

import os
from contextlib import ExitStack

from msgspec import Struct

from pyinit.init.command import Command, Environment
from pyinit.init.config import InitConfig, Logged
from pyinit.init.terminal import TerminalFactory
from pyinit.init.users import UserDatabase, login_environment


class Streams(Struct, frozen=True):
    """What becomes 0, 1 and 2; the pty's master where they are its slave; what is read here."""

    stdio: tuple[int, int, int]
    master: int | None = None
    logged: Logged | None = None

    def let_go(self) -> None:
        """Close what others have by now: the master, and what is copied to."""
        if self.master is not None:
            os.close(self.master)
        if self.logged is not None:
            self.logged.let_go()


def open_streams(
    config: InitConfig,
    users: UserDatabase,
    terminals: TerminalFactory,
    null: int,
    given: ExitStack,
    kept: ExitStack,
) -> Streams:
    """Open what the configuration asks for. Raises OSError, UsageError, Unsupported.

    `given` closes what only the command needs, once it has it; `kept` the rest, for when it
    could not be started.
    """
    if config.terminal is not None:
        owner = users.lookup(config.user or "").uid
        master, slave = terminals.open(config.terminal.rows, config.terminal.columns, owner)
        kept.callback(os.close, master)
        given.callback(os.close, slave)
        return Streams((slave, slave, slave), master)
    stdin, stdout, stderr = config.stdio or (None, None, None)
    if config.stdio is not None and not config.logs.main:
        _close_each(given, {stdin, stdout, stderr})
        return Streams((_or(null, stdin), _or(null, stdout), _or(null, stderr)))
    # One descriptor may have several places.
    _close_each(given, {stdin} - {stdout, stderr})
    _close_each(kept, {stdout, stderr})
    (read_out, write_out), (read_err, write_err) = (_pipe(given, kept) for _ in range(2))
    logged = Logged(read_out, read_err, (stdout, stderr))
    return Streams((_or(null, stdin), write_out, write_err), logged=logged)


def _or(null: int, descriptor: int | None) -> int:
    return null if descriptor is None else descriptor


def _close_each(stack: ExitStack, descriptors: set[int | None]) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            stack.callback(os.close, descriptor)


def _pipe(given: ExitStack, kept: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    kept.callback(os.close, reading)
    given.callback(os.close, writing)
    return reading, writing


def main_command(config: InitConfig, users: UserDatabase, streams: Streams) -> Command:
    """The command, as a spawner wants it. Raises UsageError."""
    user = users.lookup(config.user or "")
    term = config.terminal.term if config.terminal else None
    return Command(
        argv=config.command,
        environment=Environment({**login_environment(user, term), **config.environment}),
        workdir=config.workdir or "/",
        user=user,
        stdio=streams.stdio,
        terminal=streams.master is not None,
        umask=config.privileges.umask,
    )
