#!/usr/bin/env python3
"""Runs commands in a container from a program without an event loop: client_blocking.py TARGET."""

from __future__ import annotations

import sys

from pyinit_ctl import BlockingClient, ExecFailed

with BlockingClient(sys.argv[1]) as client:
    done = client.run(["tr", "a-z", "A-Z"], input=b"hello from the host\n")
    print(done.stdout)

    try:
        client.run(["sh", "-c", "echo no luck >&2; exit 3"], check=True)
    except ExecFailed as error:
        print(error, error.completed.stderr)
