"""The options of `pyinit-ctl exec`, and what they ask of the init.

Named and meant as docker's and podman's of the same name, wherever they have one.
"""

from __future__ import annotations

from pyinit.errors import SystemFault, UsageError
from pyinit_ctl.flags import FLAG, LIST, VALUE, Given, Option, parse
from pyinit_ctl.registry import variable

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from pyinit_ctl.flags import Values

OPTIONS = (
    Option("i", "interactive", FLAG, "", "connect standard input, which is /dev/null otherwise"),
    Option("t", "tty", FLAG, "", "run the command in a terminal of its own"),
    Option("u", "user", VALUE, "USER[:GROUP]", "run as this user and group, by name or number"),
    Option("w", "workdir", VALUE, "DIR", "start the command in this folder"),
    Option("e", "env", LIST, "NAME[=VALUE]", "set a variable; without a value, take it from here"),
    Option("", "env-file", LIST, "FILE", "set the variables of a file, one NAME=VALUE a line"),
    Option("d", "detach", FLAG, "", "leave the command running, print its id"),
    Option("", "detach-keys", VALUE, "KEYS", "keys that detach from a terminal (ctrl-p,ctrl-q)"),
    Option("", "timeout", VALUE, "SECONDS", "end the command after this time, with status 124"),
    Option("", "grace", VALUE, "SECONDS", "time between HUP, TERM and KILL when it is ended"),
    Option("", "cap-add", LIST, "CAPABILITY", "give a capability to the command"),
    Option("", "cap-drop", LIST, "CAPABILITY", "take a capability from the command, or ALL"),
    Option("", "no-new-privs", FLAG, "", "let the command gain no privileges (prctl(2))"),
    Option("", "ulimit", LIST, "NAME=SOFT[:HARD]", "set a resource limit (setrlimit(2))"),
    Option("", "umask", VALUE, "MODE", "file mode mask, in octal"),
    Option("H", "host", VALUE, "[USER@]HOST", "reach the target on another machine by ssh"),
    Option("", "help", FLAG, "", "show this and exit"),
)

USAGE = "pyinit-ctl exec [OPTIONS] TARGET [--] COMMAND [ARGUMENT…]"

_DETACH_KEYS = "ctrl-p,ctrl-q"
_ENV_FILE_LIMIT = 1 << 20


class ExecOptions(Given):
    """A parsed command line of `exec`."""

    __slots__ = ("argv", "target")

    def __init__(self, given: Values, target: str, argv: list[str]) -> None:
        super().__init__(given)
        self.target = target
        self.argv = argv

    @classmethod
    def parse(cls, words: Sequence[str]) -> ExecOptions:
        """From the words after the verb. Raises UsageError."""
        given, rest = parse(OPTIONS, words)
        if given.get("help"):
            return cls(given, "", [])
        if not rest:
            raise UsageError(f"exec needs a target and a command: {USAGE}")
        target, *argv = rest
        if argv and argv[0] == "--":
            del argv[0]
        if not argv:
            raise UsageError(f"exec needs a command behind the target: {USAGE}")
        return cls(given, target, argv)

    def command(self) -> dict[str, Any]:
        """The `Command` of io.pyinit.Control. Raises UsageError, SystemFault for --env-file."""
        command: dict[str, Any] = {"argv": self.argv}
        for name in ("user", "workdir"):
            if self.value(name) is not None:
                command[name] = self.value(name)
        for name in ("timeout", "grace"):
            if (text := self.value(name)) is not None:
                command[name] = seconds(text, f"--{name}")
        self._add_environment(command)
        self._add_privileges(command)
        return command

    def detach_keys(self) -> bytes:
        """The bytes of the keys that detach; empty when switched off. Raises UsageError."""
        keys = self.value("detach-keys")
        return key_bytes(_DETACH_KEYS if keys is None else keys)

    def _add_environment(self, command: dict[str, Any]) -> None:
        environment = read_environment(self.values("env"), self.values("env-file"))
        if environment:
            command["environment"] = environment

    def _add_privileges(self, command: dict[str, Any]) -> None:
        for name in ("cap-add", "cap-drop"):
            if self.values(name):
                command[name.replace("-", "_")] = self.values(name)
        if self.flag("no-new-privs"):
            command["no_new_privs"] = True
        if self.values("ulimit"):
            command["rlimits"] = dict(_rlimit(text) for text in self.values("ulimit"))
        if (mask := self.value("umask")) is not None:
            command["umask"] = _octal(mask)


def seconds(text: str, what: str) -> float:
    """A time span of more than nothing. Raises UsageError that begins with `what`."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise UsageError(f"{what} {text!r} is no time; give seconds, such as 10 or 0.5")
    return value


def key_bytes(keys: str) -> bytes:
    """Keys in docker's notation, `ctrl-p,ctrl-q` or letters, as a terminal sends them."""
    return b"".join(_key(key) for key in keys.split(",")) if keys else b""


def _key(key: str) -> bytes:
    name = key.removeprefix("ctrl-")
    if len(name) == 1 and name.isascii():
        if name == key:
            return key.encode()
        upper = name.upper().encode()
        if b"@" <= upper <= b"_":
            return bytes((upper[0] & 0x1F,))
    raise UsageError(f"--detach-keys: {key!r} is no key; give letters or ctrl-a to ctrl-z")


def _variable(setting: str, where: str) -> dict[str, str]:
    name, equals, value = setting.partition("=")
    if not name or "\0" in setting:
        raise UsageError(f"{where} {setting!r}: give NAME=VALUE, or NAME to take it from here")
    if equals:
        return {name: value}
    inherited = variable(name)
    return {} if inherited is None else {name: inherited}


def read_environment(settings: Iterable[str], files: Iterable[str]) -> dict[str, str]:
    """What `--env` and `--env-file` set together; --env counts more. Raises PyinitError."""
    environment: dict[str, str] = {}
    for path in files:
        environment.update(_env_file(path))
    for setting in settings:
        environment.update(_variable(setting, "--env"))
    return environment


def _env_file(path: str) -> dict[str, str]:
    try:
        with open(path, "rb") as file:
            content = file.read(_ENV_FILE_LIMIT + 1)
    except OSError as error:
        raise SystemFault(f"read --env-file {path}", error) from None
    if len(content) > _ENV_FILE_LIMIT:
        raise UsageError(f"--env-file {path} is larger than 1 MiB")
    environment: dict[str, str] = {}
    for number, line in enumerate(content.decode(errors="surrogateescape").split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            environment.update(_variable(line.rstrip("\r"), f"{path} line {number}:"))
    return environment


def _rlimit(text: str) -> tuple[str, dict[str, int | None]]:
    name, _, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    if not name or not soft:
        raise UsageError(f"--ulimit {text!r}: give NAME=SOFT[:HARD], such as nofile=1024:4096")
    return name.lower(), {
        "soft": _limit(soft, text),
        "hard": _limit(hard if colon else soft, text),
    }


def _limit(number: str, text: str) -> int | None:
    if number in ("unlimited", "-1"):
        return None
    if not (number.isascii() and number.isdigit()):
        raise UsageError(f"--ulimit {text!r}: {number!r} is neither a number nor unlimited")
    return int(number)


def _octal(mask: str) -> int:
    try:
        value = int(mask, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o777:
        raise UsageError(f"--umask {mask!r} is no mask; give three octal digits, such as 022")
    return value
