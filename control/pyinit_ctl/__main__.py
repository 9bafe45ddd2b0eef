"""Entry of the command line: the verbs that are quick, and those that go by click."""

import posix
import sys

from pyinit_ctl.code_cache import CodeCache

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NoReturn

# Verbs with a table of options of their own, for which no click is loaded: `pyinit_ctl.verb`.
TABLED = frozenset({"run", "ls", "ps", "stop", "kill", "wait", "update", "rm", "gc"})
# Those that load so little that what the others load would hold them up.
SMALL = frozenset({"exec", "dial"})


def main() -> int:
    """Run the verb of `sys.argv`. Returns the exit status."""
    words = sys.argv[1:]
    verb = words[0] if words else ""
    code_cache = CodeCache("small" if verb in SMALL else "whole")
    code_cache.install()
    status = _run(verb, words)
    code_cache.keep()
    if verb in SMALL | TABLED:
        leave(status)
    return status


def _run(verb: str, words: list[str]) -> int:
    if verb == "exec":
        from pyinit_ctl.exec_fast import main as exec_main

        return exec_main(words[1:])
    if verb == "dial":
        from pyinit_ctl.dial import main as dial_main

        return dial_main(words[1:])
    if verb in TABLED:
        return _run_tabled(verb, words[1:])
    from pyinit_ctl.cli import main as cli_main

    return cli_main(words)


def _run_tabled(verb: str, words: list[str]) -> int:
    import gc

    from pyinit_ctl import lean

    # What is loaded stays: a tenth of the time would go to looking for what could go. These
    # verbs are short, or wait; `run` has it on again before there is a PID 1.
    gc.disable()
    lean.load()
    module = __import__(f"pyinit_ctl.verbs.{verb}", fromlist=("VERB",))
    status: int = module.VERB.main(words)
    return status


def leave(status: int) -> "NoReturn":
    """End the process without taking the interpreter apart, which takes 2 ms of an exec's 20."""
    # Nothing is buffered: output is written by descriptor, or flushed.
    posix._exit(status)


if __name__ == "__main__":
    sys.exit(main())
