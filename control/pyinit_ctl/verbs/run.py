"""`pyinit-ctl run`: make a container, and stay with it or leave it running."""

from __future__ import annotations

import secrets
import sys
from typing import Any

import click

from pyinit.spec.container import ContainerSpec
from pyinit_ctl.run_options import OPTIONS, build_spec


def _with_options(command: click.Command) -> click.Command:
    command.params = [*OPTIONS, *command.params]
    return command


@_with_options
@click.command(
    "run",
    context_settings={"allow_interspersed_args": False},
    help="Make a container and run COMMAND in it; without COMMAND it idles until it is stopped.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND [ARG]...]")
def command(words: tuple[str, ...], **values: Any) -> None:
    """Run the verb; the exit status is the command's."""
    name = values.pop("name") or f"c-{secrets.token_hex(4)}"
    detach, interactive = values.pop("detach"), values.pop("interactive")
    tty, dry_run = values.pop("tty"), values.pop("dry_run")
    spec = build_spec(name, words, values)
    sys.exit(_carry_out(spec, detach=detach, interactive=interactive, tty=tty, dry_run=dry_run))


def _carry_out(
    spec: ContainerSpec, *, detach: bool, interactive: bool, tty: bool, dry_run: bool
) -> int:
    if dry_run:
        return _show_plan(spec)
    # Reached only when a container is made: it loads the maker, but no event loop.
    from pyinit.container.clearing import collect
    from pyinit.container.launch import launch
    from pyinit_ctl.run_attached import run_attached, run_in_terminal

    collect()
    if detach:
        launch(spec).close()
        click.echo(spec.name)
        return 0
    return run_in_terminal(spec, interactive) if tty else run_attached(spec, interactive)


def _show_plan(spec: ContainerSpec) -> int:
    from pyinit.container.folder import run_directory
    from pyinit.container.plan import describe, planned_mounts

    click.echo(describe(planned_mounts(spec, run_directory() / spec.name)))
    return 0
