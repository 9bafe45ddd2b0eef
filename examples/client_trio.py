#!/usr/bin/env python3
"""Runs commands in a container, many at once: client_trio.py TARGET."""

from __future__ import annotations

import sys

import trio

from pyinit_ctl import Client


async def main(target: str) -> None:
    async with Client(target) as client:
        # Ten at a time through one client; being cancelled would end them all.
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(square, client, number)

        # A command to talk to. Leaving the block ends it, if it still runs.
        async with client.popen(["cat"]) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            await process.stdin.send_all(b"there and back\n")
            print(await process.stdout.receive_some())
            await process.stdin.aclose()
            print("ended with", await process.wait())


async def square(client: Client, number: int) -> None:
    done = await client.run(["sh", "-c", f"echo $(({number} * {number}))"], check=True)
    assert done.stdout == b"%d\n" % number**2


trio.run(main, sys.argv[1])
