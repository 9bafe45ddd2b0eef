"""The options of `pyinit [OPTIONS] [--] CMD …`, read by hand: argparse takes 8 ms to load.

tini's and dumb-init's options and environment, and our own. Where the two programs differ
the name that this one was called by decides: `tini`, `dumb-init`, or our own middle way.
docs/reference/entrypoint.md holds the table.
"""

from __future__ import annotations

from pyinit.errors import UsageError
from pyinit.init.forwarding import JOB_STOPS, Forwarding

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Mapping, Sequence
else:
    import _signal

LEVELS = ("error", "warning", "info", "debug")
FORMATS = ("auto", "console", "json")
TINI_NAMES = ("tini", "tini-static", "docker-init")

# How the command is set apart: a session with the terminal handed over (dumb-init), a
# process group in the foreground (tini), or not at all (dumb-init --single-child).
SESSION, GROUP, NOTHING = "session", "group", "nothing"

_LONG = {
    "--check": "check",
    "--control": "control",
    "--grace": "grace",
    "--help": "h",
    "--keep-control-folder": "keep_control_folder",
    "--log-format": "log_format",
    "--log-level": "log_level",
    "--name": "name",
    "--pass-notify-socket": "pass_notify_socket",
    "--rewrite": "r",
    "--services": "services",
    "--single-child": "c",
    "--verbose": "v",
    "--version": "V",
}
_SWITCHES = {
    "c": "single_child",
    "g": "group",
    "keep_control_folder": "keep_control_folder",
    "pass_notify_socket": "pass_notify_socket",
    "s": "subreaper",
    "w": "warn_orphans",
}
_SHOWN = {"h": "help", "V": "version", "l": "license"}


class Options:
    """What was asked for. `show` is help, version, license or empty."""

    def __init__(self, called: str = "pyinit") -> None:
        self.called = called
        self.command: list[str] = []
        self.show = ""
        self.check = ""
        self.subreaper = False
        self.group = False
        self.single_child = False
        self.warn_orphans = False
        self.parent_death = 0
        self.expected: set[int] = set()
        self.rewrite: dict[int, int] = {}
        self.verbosity = 0
        self.log_level = ""
        self.log_format = "auto"
        self.name = ""
        self.grace = 10.0
        self.control = ""
        self.services = ""
        self.keep_control_folder = False
        self.pass_notify_socket = False

    @property
    def apart(self) -> str:
        if self.single_child:
            return NOTHING
        return GROUP if self.called == "tini" else SESSION

    @property
    def level(self) -> str:
        """The lowest level of what is logged."""
        return self.log_level or LEVELS[min(max(1 + self.verbosity, 0), 3)]

    def forwarding(self) -> Forwarding:
        if self.called == "tini":
            return Forwarding(self.rewrite, group=self.group)
        stops = dict.fromkeys(JOB_STOPS, int(_signal.SIGSTOP)) if self.apart == SESSION else {}
        whole = self.group or (self.called == "dumb-init" and not self.single_child)
        return Forwarding(stops | self.rewrite, group=whole, stops_self=True)

    def exit_code(self, code: int) -> int:
        """The code to leave with when the command's is `code` (tini's -e)."""
        return 0 if code in self.expected else code


def parse(argv: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Options from the words of the command line, the program's name first.

    Reading stops at the first word that is no option: what follows is the command's.
    Raises UsageError.
    """
    options = Options(_called(argv[0]))
    _read_environment(options, environment)
    words = list(argv[1:])
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            _long(options, word, words)
        else:
            _short(options, word[1:], words)
    options.command = words
    _check_together(options)
    return options


def _called(path: str) -> str:
    name = path.rpartition("/")[2]
    if name in TINI_NAMES:
        return "tini"
    return name if name == "dumb-init" else "pyinit"


def _read_environment(options: Options, environment: Mapping[str, str]) -> None:
    options.subreaper = "TINI_SUBREAPER" in environment
    options.group = "TINI_KILL_PROCESS_GROUP" in environment
    options.single_child = environment.get("DUMB_INIT_SETSID") == "0"
    verbosity = environment.get("TINI_VERBOSITY", "")
    if verbosity.isdecimal():
        options.verbosity = int(verbosity) - 1
    if environment.get("DUMB_INIT_DEBUG") == "1":
        options.verbosity = 2


def _long(options: Options, word: str, words: list[str]) -> None:
    name, given, value = word.partition("=")
    key = _LONG.get(name)
    if key is None:
        raise UsageError(f"unknown option {name}: see pyinit --help, or put -- before the command")
    if not _takes_value(key):
        if given:
            raise UsageError(f"{name} takes no value")
        _switch(options, key)
        return
    _set(options, key, name, value if given else _next(name, words))


def _short(options: Options, letters: str, words: list[str]) -> None:
    """Letters after one dash: `-sg`, `-vvv`, `-e143`, `-e 143`."""
    for place, letter in enumerate(letters):
        name = f"-{letter}"
        if letter in ("e", "p", "r"):
            rest = letters[place + 1 :]
            _set(options, letter, name, rest or _next(name, words))
            return
        if letter not in (*_SWITCHES, *_SHOWN, "v"):
            raise UsageError(
                f"unknown option {name}: see pyinit --help, or put -- before the command"
            )
        _switch(options, letter)


def _takes_value(key: str) -> bool:
    return key not in _SWITCHES and key not in _SHOWN and key != "v"


def _next(name: str, words: list[str]) -> str:
    if not words:
        raise UsageError(f"{name} needs a value")
    return words.pop(0)


def _switch(options: Options, key: str) -> None:
    if key == "v":
        options.verbosity += 2 if options.called == "dumb-init" else 1
    elif key in _SHOWN:
        options.show = options.show or _SHOWN[key]
    else:
        setattr(options, _SWITCHES[key], True)


def _set(options: Options, key: str, name: str, value: str) -> None:
    match key:
        case "e":
            options.expected.add(_number(name, value, 0, 255))
        case "p":
            options.parent_death = _signal_number(value)
        case "r":
            _rewrite(options, value)
        case "grace":
            options.grace = _seconds(name, value)
        case "log_level":
            options.log_level = _one_of(name, value, LEVELS)
        case "log_format":
            options.log_format = _one_of(name, value, FORMATS)
        case _:
            if not value:
                raise UsageError(f"{name} needs a value")
            setattr(options, key, value)


def _number(name: str, value: str, low: int, high: int) -> int:
    if value.isdecimal() and low <= int(value) <= high:
        return int(value)
    raise UsageError(f"{name} {value!r}: give a number from {low} to {high}")


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if 0 <= seconds <= 1e9:
        return seconds
    raise UsageError(f"{name} {value!r}: give seconds, from 0 on")


def _one_of(name: str, value: str, choice: Sequence[str]) -> str:
    if value in choice:
        return value
    raise UsageError(f"{name} {value!r}: give one of {', '.join(choice)}")


def _rewrite(options: Options, value: str) -> None:
    """dumb-init's S:R; R is 0 where S is not to be passed on at all."""
    old, found, new = value.partition(":")
    if not found:
        raise UsageError(f"--rewrite {value!r}: give it as SIGNAL:SIGNAL, such as 15:3")
    options.rewrite[_signal_number(old)] = 0 if new == "0" else _signal_number(new)


def _signal_number(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 31:
        return int(text)
    # By name, which needs the enums of `signal`.
    from pyinit.spec.signals import parse_signal

    return parse_signal(text)


def _check_together(options: Options) -> None:
    if options.show or options.check:
        return
    if options.single_child and options.group:
        raise UsageError("-g and --single-child exclude each other: one process, or its group")
    if not options.command and not options.control and not options.services:
        raise UsageError("no command: give the program to run, or see pyinit --help")
