"""`pyinit-ctl run`: make a container, and stay with it or leave it running."""

from __future__ import annotations

import gc
import posix

from pyinit.errors import UsageError
from pyinit_ctl.run_table import BESIDE_SPEC, OPTIONS
from pyinit_ctl.stdio import print_line
from pyinit_ctl.verb import Verb

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pyinit.spec.container import ContainerSpec
    from pyinit_ctl.flags import Given


def run(given: Given, words: list[str]) -> int:
    """Carry out the verb; the exit status is the command's. Raises PyinitError."""
    spec = _spec(given, words)
    if given.flag("tty") and spec.log.main:
        raise UsageError("--log and --tty exclude each other: a terminal's output is no lines")
    for option in ("tty", "interactive"):
        if given.flag("detach") and given.flag(option):
            raise UsageError(
                f"--detach and --{option} exclude each other: nobody stays to type."
                " Leave one out, and open a terminal later with `pyinit-ctl exec -it` or `shell`"
            )
    if given.flag("dry-run"):
        return _show_plan(spec, as_json=given.flag("json"))
    return _make(spec, given)


def _spec(given: Given, words: list[str]) -> ContainerSpec:
    from pyinit_ctl.run_options import build_spec, read_spec

    file, name = given.value("spec"), given.value("name")
    if file is None:
        return build_spec(name or f"c-{posix.urandom(4).hex()}", words, given)
    # A spec is whole: an option that it would override must not look as if it counted.
    for option in given.given:
        if option not in BESIDE_SPEC:
            raise UsageError(f"--spec and --{option} exclude each other: write it in the file")
    return read_spec(file, name, words)


def _make(spec: ContainerSpec, given: Given) -> int:
    from pyinit.container.clearing import collect

    collect()
    if given.flag("detach"):
        from pyinit_ctl.run_detached import run_detached

        _keep_loaded()
        return run_detached(spec)
    interactive = given.flag("interactive")
    if given.flag("tty"):
        from pyinit_ctl.run_terminal import run_in_terminal

        _keep_loaded()
        return run_in_terminal(spec, interactive)
    from pyinit_ctl.run_attached import run_attached

    _keep_loaded()
    return run_attached(spec, interactive)


def _keep_loaded() -> None:
    """PID 1 is forked from here: its collections leave what is loaded alone, and so shared."""
    gc.freeze()
    gc.enable()


def _show_plan(spec: ContainerSpec, *, as_json: bool) -> int:
    from pyinit.container.folder import run_directory
    from pyinit.container.namespaces import Namespaces
    from pyinit.container.plan import describe, planned_mounts

    around = Namespaces.preview(spec).surroundings()
    plan = describe(planned_mounts(spec, run_directory() / spec.name, around))
    if as_json:
        import msgspec

        found = {"spec": spec, "mounts": plan.splitlines()}
        plan = msgspec.json.format(msgspec.json.encode(found)).decode()
    print_line(plan)
    return 0


VERB = Verb(
    "run",
    "Make a container and run COMMAND in it; without COMMAND it idles until it is stopped.",
    OPTIONS,
    ("[COMMAND [ARG]...]",),
    run,
    command=True,
)
