"""What services write, on init's own output: a line each, with the service's name before it.

For runtimes that collect the output of PID 1, and for people who look on. Every call here
may block for as long as nobody reads: they run in a writer's thread.
"""

from __future__ import annotations

import os
import select

from pyinit.spec.log_record import parse


class Console:
    """Writes the records of logs to two descriptors, stdout's to `out` and stderr's to `err`.

    `names` are what stands before a line in place of a log's name.
    """

    def __init__(self, out: int | None, err: int | None) -> None:
        self._descriptors = {"stdout": out, "stderr": err}
        self.names: dict[str, str] = {}

    def write(self, service: str, records: bytes) -> tuple[bytes, str]:
        """Write whole records. What nobody reads is not missed: the logs have it."""
        head = f"{self.names.get(service) or service} | ".encode()
        lines: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        # Not splitlines: a carriage return is a part of the text.
        for line in records[:-1].split(b"\n"):
            record = parse(line)
            if record is not None:
                lines[record.stream].append(head + record.text + b"\n")
        for stream, texts in lines.items():
            self._send(stream, b"".join(texts))
        return b"", ""

    def _send(self, stream: str, data: bytes) -> None:
        descriptor = self._descriptors[stream]
        while data and descriptor is not None:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:
                # Its O_NONBLOCK is shared with whoever else has it open.
                poll = select.poll()
                poll.register(descriptor, select.POLLOUT)
                poll.poll()
            except OSError:
                self._descriptors[stream] = descriptor = None
