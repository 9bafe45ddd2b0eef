"""What the commands of the container write: read line by line, kept in memory and in files.

Each log is a service's, or that of the main command, which is called `main`. A command that
writes much costs PID 1 time in proportion, and memory of a fixed amount.
"""

from __future__ import annotations

import os
import time

import trio

from pyinit.init.config import LogConfig
from pyinit.init.log_console import Console
from pyinit.init.log_files import LogFolder
from pyinit.init.log_framing import Framer
from pyinit.init.log_ring import LogRing
from pyinit.init.log_writer import LogWriter
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
        self._readers = 0
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
        stdout = os.pipe2(os.O_CLOEXEC)
        try:
            stderr = os.pipe2(os.O_CLOEXEC)
        except OSError:
            os.close(stdout[0])
            os.close(stdout[1])
            raise
        self.read(service, "stdout", stdout[0])
        self.read(service, "stderr", stderr[0])
        return stdout[1], stderr[1]

    def read(self, service: str, stream: str, descriptor: int) -> None:
        """Log what can be read from a descriptor, and close it in the end."""
        os.set_blocking(descriptor, False)
        for writer in self._writers:
            writer.start()
        self._readers += 1
        self._nursery.start_soon(self._read, service, Framer(stream), descriptor)

    async def _read(self, service: str, framer: Framer, descriptor: int) -> None:
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
                # Others have their turn, however much there is to read.
                await trio.lowlevel.checkpoint()
        finally:
            self._take(service, framer.end(time.time_ns()))
            os.close(descriptor)
            self._readers -= 1
            if not self._readers:
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

    async def finish(self, seconds: float) -> None:
        """Once the commands have ended: read and write what is left, for that time at most."""
        with trio.move_on_after(seconds):
            while self._readers:
                self._quiet = trio.Event()
                await self._quiet.wait()
        async with trio.open_nursery() as nursery:
            for writer in self._writers:
                nursery.start_soon(writer.finish, seconds)
