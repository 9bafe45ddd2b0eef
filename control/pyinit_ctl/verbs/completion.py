"""`pyinit-ctl completion`: what a shell needs to complete command lines of pyinit-ctl."""

from __future__ import annotations

import click

from pyinit_ctl.completion.scripts import SCRIPTS


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SCRIPTS)), metavar="SHELL")
@click.option("--line", hidden=True)  # asked by the scripts: the command line up to the cursor
@click.option("--word", hidden=True)  # and what bash takes for the word before it
def command(shell: str, line: str | None, word: str | None) -> None:
    """Print a script by which bash, zsh or fish complete verbs, options, and names that are there.

    bash: source <(pyinit-ctl completion bash). Containers, execs, services and signals are
    looked up when Tab is pressed.
    """
    if line is None:
        click.echo(SCRIPTS[shell], nl=False)
    else:
        _answer(shell, line, word)


def _answer(shell: str, line: str, word: str | None) -> None:
    from pyinit_ctl.completion.candidates import candidates
    from pyinit_ctl.completion.line import split

    words = split(line)[1:] or [""]
    known = 0 if word is None else max(len(words[-1]) - len(word), 0)
    for found, about in candidates(words):
        if shell == "bash":
            click.echo(found if found.startswith(":") else found[known:])
        else:
            click.echo(f"{found}\t{about}" if not found.startswith(":") else found)
