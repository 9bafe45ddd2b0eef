"""A verb as a table: what parses its command line is what its help is made of.

Whoever only runs such a verb loads no command-line framework; `click_verb` makes a click
command of the table, for the help, the reference and the shells' completion.
"""

from __future__ import annotations

from pyinit.errors import PyinitError, UsageError
from pyinit_ctl.flags import FLAG, Given, Option, parse
from pyinit_ctl.stdio import open_missing, say, say_fault

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Where a verb has a -h of its own that comes first.
HELP = Option("h", "help", FLAG, "", "Show this message and exit.")


class Verb:
    """A verb: its `name`, what it is `about`, its table of `options`, and what it takes besides.

    `operands` is written as in the help: `TARGET`, `[EXEC_ID]`, `[SERVICE]...`. With
    `command` the last of them is somebody else's command, whose options are not ours.
    `carry_out` returns the exit status, and raises PyinitError.
    """

    __slots__ = ("about", "carry_out", "command", "name", "operands", "options")

    def __init__(
        self,
        name: str,
        about: str,
        options: Sequence[Option],
        operands: Sequence[str],
        carry_out: Callable[[Given, list[str]], int],
        *,
        command: bool = False,
    ) -> None:
        self.name = name
        self.about = about
        self.options = options
        self.operands = operands
        self.carry_out = carry_out
        self.command = command

    def main(self, words: Sequence[str]) -> int:
        """Run the verb with the words behind it. Returns the exit status; failures are lines on
        stderr."""
        open_missing()
        try:
            given, others = parse((*self.options, HELP), words, mixed=not self.command)
            if "help" in given:
                from pyinit_ctl.click_verb import show_help

                return show_help(self)
            self.check(others)
            return self.carry_out(Given(given), others)
        except PyinitError as error:
            for line in str(error).splitlines():  # a file may have many faults
                say(line)
            return error.status
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:
            return 141  # as SIGPIPE would have ended it: whoever read our output has gone
        except OSError as error:
            return say_fault(error)

    def check(self, words: Sequence[str]) -> None:
        """Raise UsageError unless there are as many words as operands."""
        usage = " ".join(("pyinit-ctl", self.name, "[OPTIONS]", *self.operands))
        needed = [operand for operand in self.operands if not operand.startswith("[")]
        if len(words) < len(needed):
            missing = needed[len(words)].removesuffix("...")
            raise UsageError(f"{missing} is missing: {usage}")
        open_ended = any("..." in operand for operand in self.operands)
        if len(words) > len(self.operands) and not open_ended:
            raise UsageError(f"unexpected {words[len(self.operands)]!r}: {usage}")
