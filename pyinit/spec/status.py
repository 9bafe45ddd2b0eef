"""How a process ended."""

from __future__ import annotations

import os

from msgspec import Struct


class ExitStatus(Struct, frozen=True, omit_defaults=True):
    """A code or a signal's number: exactly one of the two is set."""

    code: int | None = None
    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """The status as a shell shows it: the code, or 128 and the signal's number."""
        return self.code if self.code is not None else 128 + (self.signal or 0)

    @classmethod
    def from_wait(cls, status: int) -> ExitStatus:
        """From the status that waitpid(2) gives of a process that ended."""
        value = os.waitstatus_to_exitcode(status)
        return cls(code=value) if value >= 0 else cls(signal=-value)
