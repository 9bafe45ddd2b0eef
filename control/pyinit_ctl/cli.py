"""The command line of every verb but `exec`: click, with each verb loaded when it is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

import pyinit
from pyinit.errors import PyinitError
from pyinit_ctl.__main__ import TABLED
from pyinit_ctl.click_verb import command_of
from pyinit_ctl.replies import FAILED
from pyinit_ctl.stdio import say, say_fault

# verb → what it does, in the order of the help. The module `verbs.<verb>` has a click command
# named `command`, or where the verb is one of TABLED a table named `VERB`.
VERBS = {
    "run": "Make a container and run a command in it.",
    "ls": "List containers.",
    "ps": "List the processes of a container.",
    "stats": "Show what a container uses, or all of them.",
    "metrics": "Print what containers use, for Prometheus.",
    "logs": "Print what a container's commands wrote.",
    "events": "Print what has happened in a container.",
    "services": "List the services of a container.",
    "start": "Start services.",
    "restart": "Stop and start services.",
    "stop": "End a container and wait for its end, or stop services of it.",
    "reload": "Run other services in place of the present ones.",
    "enable": "Let services be started with the container's others.",
    "disable": "Let services be started only when asked for.",
    "checks": "List the health checks of services.",
    "plan": "Show in which order services start.",
    "why": "Say what start-up or shutdown is waiting for.",
    "kill": "Send a signal to a container's main command.",
    "wait": "Wait for the end of a container or an exec.",
    "pause": "Freeze everything in a container but its init.",
    "unpause": "Let everything in a container go on.",
    "update": "Change a running container's limits.",
    "rm": "Remove containers that have ended.",
    "gc": "Clear away what ended containers left on the host.",
    "ns": "List and release namespaces that were kept.",
    "net": "Add interfaces to a container, take them from it, list them.",
    "shell": "Open a login shell in a container.",
    "execs": "List the execs of a container.",
    "attach": "Come back to a detached exec.",
    "signal": "Send a signal to a service or an exec.",
    "inspect": "Print all that is known of a container.",
    "describe": "Print the interface of a control socket.",
    "call": "Call a method of the control protocol.",
    "completion": "Print what makes a shell complete these verbs, options and names.",
}

# The verbs that never load click when called as `pyinit-ctl VERB`: what they do, and where.
QUICK = {
    "exec": ("Run a command in a container.", "pyinit_ctl.exec_fast"),
    "dial": ("Join standard input and output to a control socket.", "pyinit_ctl.dial"),
}


class Verbs(click.Group):
    """A group that knows its verbs' names and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*QUICK, *VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in QUICK:
            return _quick(cmd_name, *QUICK[cmd_name])
        if cmd_name not in VERBS:
            return None
        module = import_module(f"pyinit_ctl.verbs.{cmd_name}")
        if cmd_name in TABLED:
            return command_of(module.VERB)
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, from the table: none is imported for it."""
        quick = [(name, about) for name, (about, _) in QUICK.items()]
        rows = [*quick[:1], *VERBS.items(), *quick[1:]]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def _quick(name: str, about: str, run: str) -> click.Command:
    """A verb that is parsed without click; reached here through options of the group only."""

    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def call(words: tuple[str, ...]) -> None:
        sys.exit(import_module(run).main(words))

    settings = {"ignore_unknown_options": True, "allow_interspersed_args": False}
    make = click.command(name, help=about, add_help_option=False, context_settings=settings)
    return make(call)


@click.group(
    cls=Verbs,
    name="pyinit-ctl",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(pyinit.__version__, "--version", prog_name="pyinit-ctl")
def root() -> None:
    """Make containers, and attach to them through the control socket of their init."""


def main(words: Sequence[str]) -> int:
    """Run a verb. Returns the exit status; failures are one line on stderr."""
    try:
        return _run(words)
    except PyinitError as error:
        for line in str(error).splitlines():  # a file may have many faults
            say(line)
        return error.status
    except click.ClickException as error:
        say(f"{error.format_message().rstrip('.')}; see --help")
        return FAILED
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone: end as SIGPIPE would have, without its traceback.
        sys.stderr.close()
        return 141
    except OSError as error:
        return say_fault(error)


def _run(words: Sequence[str]) -> int:
    result = root.main(args=list(words), prog_name="pyinit-ctl", standalone_mode=False)
    return result if isinstance(result, int) else 0
