"""A pyinit-ctl that goes on until it is told to end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.containers import Host


@contextmanager
def following(host: Host, *words: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """pyinit-ctl, which is ended with the block that it is needed for."""
    with host.start(*words, **options) as process:
        try:
            yield process
        finally:
            process.kill()
