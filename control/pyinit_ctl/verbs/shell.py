"""`pyinit-ctl shell`: the user's login shell in a container."""

from __future__ import annotations

import sys

import click

from pyinit_ctl.exec_fast import main as exec_main

# SHELL comes from the container's own /etc/passwd, by its init.
_SCRIPT = 'exec "${SHELL:-/bin/sh}" -l'


@click.command("shell")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="Whose shell; root's otherwise.")
@click.option("-w", "--workdir", metavar="DIR", help="Where to start.")
@click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Set a variable.")
@click.argument("target")
def command(target: str, user: str | None, workdir: str | None, env: tuple[str, ...]) -> None:
    """Open the user's login shell in a container, in a terminal."""
    words = ["-i", "-t"]
    for name, value in (("--user", user), ("--workdir", workdir)):
        words += [] if value is None else [f"{name}={value}"]
    words += [f"--env={setting}" for setting in env]
    sys.exit(exec_main([*words, "--", target, "/bin/sh", "-c", _SCRIPT]))
