"""`pyinit-ctl exec`: as little as it takes, since it is what people type and wait for.

Nothing is imported on this path beyond C builtins, the codec and the modules here; a test
holds the list.
"""

from __future__ import annotations

from pyinit.errors import PyinitError
from pyinit_ctl import registry
from pyinit_ctl.exec_options import ExecOptions
from pyinit_ctl.stdio import open_missing, say, say_fault

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """Run `exec` with the words behind the verb. Returns the exit status; writes one line on
    stderr when that is 125, or 126 or 127 because the command could not be started."""
    open_missing()
    try:
        options = ExecOptions.parse(words)
        if options.flag("help"):
            from pyinit_ctl.exec_help import show

            return show()
        return run(options)
    except PyinitError as error:
        say(str(error))
        return error.status
    except KeyboardInterrupt:
        return 130  # as SIGINT would have ended it
    except OSError as error:
        return say_fault(error)


def run(options: ExecOptions) -> int:
    """Carry out a parsed command line. Returns the exit status; raises PyinitError."""
    command = options.command()
    if (host := options.value("host")) is not None:
        from pyinit_ctl.exec_remote import run_remote

        return run_remote(host, options, command)
    target = registry.resolve(options.target)
    connected = registry.connect(target)
    # Only now, half of what an exec loads: init wakes up and takes the connection meanwhile.
    from pyinit_ctl.exec_local import run_local

    return run_local(connected, target, options, command)
