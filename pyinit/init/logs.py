"""What the commands of the container write: read line by line, kept in memory and in files.

Each log is a service's, or that of the main command, which is called `main`. A command that
writes much costs PID 1 time in proportion, and memory of a fixed amount.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import ExitStack

import trio

from pyinit.init.config import LogConfig, Logged
from pyinit.init.log_console import Console
from pyinit.init.log_files import LogFolder
from pyinit.init.log_framing import Framer
from pyinit.init.log_ring import LogRing
from pyinit.init.log_writer import LogWriter
from pyinit.init.sinks import Sink
from pyinit.spec.service import LogOptions

MAIN = "main"
CHUNK = 65536
# Bytes of all logs that are kept in memory.
BESIDE_FILES, ALONE = 1 << 20, 4 << 20


class Logs:
    """The logs, their readers and writers. Tasks of its own run in `nursery`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        ring: LogRing,
        files: LogFolder | None = None,
        console: Console | None = None,
    ) -> None:
        self._nursery = nursery
        self._files = files
        self._console = console
        self._writers = [LogWriter(each.write) for each in (files, console) if each is not None]
        self._readers = self._copiers = 0
        self._news = trio.Event()
        self._awaited = False
        self._quiet = trio.Event()
        self.ring = ring

    @classmethod
    def of(cls, config: LogConfig, nursery: trio.Nursery) -> Logs:
        """As the configuration has them."""
        console = Console(*config.console) if config.console is not None else None
        if config.folder is None:
            return cls(nursery, LogRing(ALONE), console=console)
        files = LogFolder(config.folder, config.size, config.count)
        return cls(nursery, LogRing(BESIDE_FILES), files, console)

    def configure(self, service: str, options: LogOptions) -> None:
        """How the log of a service is kept, from now on."""
        if self._files is not None:
            self._files.limits[service] = (options.max_size, options.max_files)
        if self._console is not None:
            self._console.names[service] = options.prefix

    def pipes(self, service: str) -> tuple[int, int]:
        """Descriptors for a command's stdout and stderr; the caller closes them after its start.

        They are close-on-exec and block. What is written to them is the service's log, until
        the last copy of each is closed. Raises OSError.
        """
        with ExitStack() as undo:
            stdout = _pipe(undo)
            stderr = _pipe(undo)
            undo.pop_all()
        self.read(service, Logged(stdout[0], stderr[0]))
        return stdout[1], stderr[1]

    def read(self, service: str, logged: Logged) -> None:
        """From now on what comes out of the two is the service's log; they are closed at the end.

        It goes to the copies as well, of which this keeps descriptors of its own; then the
        command waits for who reads those. Raises OSError, with the two still open.
        """
        with ExitStack() as undo:
            sinks = [None if copy is None else _sink(copy, undo) for copy in logged.copies]
            undo.pop_all()
        self._start_reading(service, "stdout", logged.stdout, sinks[0])
        self._start_reading(service, "stderr", logged.stderr, sinks[1])

    def _start_reading(self, service: str, stream: str, descriptor: int, sink: Sink | None) -> None:
        os.set_blocking(descriptor, False)
        for writer in self._writers:
            writer.start()
        self._readers += 1
        self._copiers += sink is not None
        self._nursery.start_soon(self._read, service, Framer(stream), descriptor, sink)

    async def _read(self, service: str, framer: Framer, descriptor: int, sink: Sink | None) -> None:
        try:
            while True:
                try:
                    data = os.read(descriptor, CHUNK)
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(descriptor)
                    continue
                if not data:
                    break
                self._take(service, framer.feed(data, time.time_ns()))
                for writer in self._writers:
                    await writer.room(service)
                if sink is not None:
                    await sink.send(data)
                # Others have their turn, however much there is to read.
                await trio.lowlevel.checkpoint()
        finally:
            self._take(service, framer.end(time.time_ns()))
            os.close(descriptor)
            if sink is not None:
                sink.close()
            self._readers -= 1
            self._copiers -= sink is not None
            self._quiet.set()

    def _take(self, service: str, records: bytes) -> None:
        if not records:
            return
        self.ring.append(service, records)
        for writer in self._writers:
            writer.put(service, records)
        self.wake()

    def wake(self) -> None:
        """Whoever waits for news looks again."""
        if self._awaited:
            self._awaited = False
            self._news.set()
            self._news = trio.Event()

    async def news(self) -> None:
        """Return when something was written."""
        self._awaited = True
        await self._news.wait()

    async def finish(self, seconds: float, patience: float = 0.0) -> None:
        """Once the commands have ended: read and write what is left, for that time at most.

        Copies are waited for with `patience`, also in seconds: somebody reads them.
        """
        with trio.move_on_after(patience):
            while self._copiers:
                await self._next_end()
        with trio.move_on_after(seconds):
            while self._readers:
                await self._next_end()
        async with trio.open_nursery() as nursery:
            for writer in self._writers:
                nursery.start_soon(writer.finish, seconds)

    async def _next_end(self) -> None:
        self._quiet = trio.Event()
        await self._quiet.wait()


def _pipe(undo: ExitStack) -> tuple[int, int]:
    ends = os.pipe2(os.O_CLOEXEC)
    for end in ends:
        undo.callback(os.close, end)
    return ends


def _sink(descriptor: int, undo: ExitStack) -> Sink:
    sink = Sink(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3))
    undo.callback(sink.close)
    return sink
