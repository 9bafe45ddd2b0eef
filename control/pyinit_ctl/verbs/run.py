"""`pyinit-ctl run`: make a container, and stay with it or leave it running."""

from __future__ import annotations

import secrets
import sys
from typing import Any, NamedTuple

import click
import msgspec

from pyinit.errors import UsageError
from pyinit.spec.container import ContainerSpec
from pyinit_ctl.run_options import BESIDE_SPEC, OPTIONS, build_spec, read_spec


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
@click.pass_context
def command(ctx: click.Context, /, words: tuple[str, ...], **values: Any) -> None:
    """Run the verb; the exit status is the command's."""
    file = values.pop("spec")
    how = How(*(values.pop(name) for name in How._fields))
    if file is not None:
        _check_alone(ctx)
        spec = read_spec(file, values["name"], words)
    else:
        spec = build_spec(values.pop("name") or f"c-{secrets.token_hex(4)}", words, values)
    if how.tty and spec.log.main:
        raise UsageError("--log and --tty exclude each other: a terminal's output is no lines")
    sys.exit(_carry_out(spec, how))


class How(NamedTuple):
    """What the spec of a container does not say."""

    detach: bool
    interactive: bool
    tty: bool
    dry_run: bool
    as_json: bool


def _check_alone(ctx: click.Context) -> None:
    """A spec is whole: an option that it would override must not look as if it counted."""
    for name in ctx.params.keys() - BESIDE_SPEC:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = name.replace("_", "-")
            raise UsageError(f"--spec and --{option} exclude each other: write it in the file")


def _carry_out(spec: ContainerSpec, how: How) -> int:
    if how.dry_run:
        return _show_plan(spec, as_json=how.as_json)
    # Reached only when a container is made: it loads the maker, but no event loop.
    from pyinit.container.clearing import collect
    from pyinit_ctl.run_attached import run_attached, run_in_terminal
    from pyinit_ctl.run_detached import run_detached

    collect()
    if how.detach:
        return run_detached(spec)
    if how.tty:
        return run_in_terminal(spec, how.interactive)
    return run_attached(spec, how.interactive)


def _show_plan(spec: ContainerSpec, *, as_json: bool) -> int:
    from pyinit.container.folder import run_directory
    from pyinit.container.namespaces import Namespaces
    from pyinit.container.plan import describe, planned_mounts

    around = Namespaces.preview(spec).surroundings()
    plan = describe(planned_mounts(spec, run_directory() / spec.name, around))
    if as_json:
        found = {"spec": spec, "mounts": plan.splitlines()}
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        click.echo(plan)
    return 0
