"""Counts its visitors in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import redis

store = redis.Redis()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """WSGI (PEP 3333)."""
    if environ["PATH_INFO"] == "/health":
        store.ping()
        body = b"well\n"
    else:
        body = f"visitor {store.incr('visitors')}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
