"""Parsing of options by a table, for the verbs that can't pay for a command-line framework.

GNU's conventions: `--name value`, `--name=value`, `-n value`, `-nvalue`, and flags of one letter
together (`-it`). The first word that is no option ends them, save where a verb has no command
of somebody else's behind it.
"""

from __future__ import annotations

from pyinit.errors import UsageError

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence

    Values = dict[str, bool | str | list[str]]

FLAG = "flag"
VALUE = "value"  # given twice, the last counts
LIST = "list"  # may be given many times


class Option:
    """One option; `long` without dashes, `short` one letter or empty, `also` another long name."""

    __slots__ = ("also", "help", "kind", "long", "metavar", "short")

    def __init__(
        self,
        short: str,
        long: str,
        kind: str,
        metavar: str,
        help: str,  # noqa: A002
        also: str = "",
    ) -> None:
        self.short = short
        self.long = long
        self.kind = kind
        self.metavar = metavar
        self.help = help
        self.also = also


class Given:
    """The options of one command line, by their long names; `given` lacks those left out."""

    __slots__ = ("given",)

    def __init__(self, given: Values) -> None:
        self.given = given

    def flag(self, name: str) -> bool:
        return self.given.get(name, False) is True

    def value(self, name: str) -> str | None:
        value = self.given.get(name)
        return value if isinstance(value, str) else None

    def values(self, name: str) -> list[str]:
        value = self.given.get(name)
        return value if isinstance(value, list) else []

    def whole(self, name: str) -> int | None:
        """A whole number. Raises UsageError."""
        text = self.value(name)
        if text is None:
            return None
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            raise UsageError(f"--{name} {text!r} is no whole number; give one such as 5")
        return int(text)

    def seconds(self, name: str) -> float | None:
        """A time span, 0 or more. Raises UsageError."""
        text = self.value(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1e9:
            raise UsageError(f"--{name} {text!r} is no time; give seconds, such as 10 or 0.5")
        return value


def parse(
    table: Sequence[Option], words: Sequence[str], *, mixed: bool = False
) -> tuple[Values, list[str]]:
    """The options by long name, those not given left out, and the words behind them.

    A `--` ends the options and is dropped. With `mixed` options may stand between the other
    words too. Raises UsageError.
    """
    values: Values = {}
    others: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            position += 1
            break
        if len(word) < 2 or word[0] != "-":
            if not mixed:
                break
            others.append(word)
            position += 1
            continue
        following = words[position + 1] if position + 1 < len(words) else None
        take = _long if word[1] == "-" else _cluster
        position += take(table, values, word, following)
    return values, [*others, *words[position:]]


def _long(table: Sequence[Option], values: Values, word: str, following: str | None) -> int:
    name, equals, value = word[2:].partition("=")
    option = _named(table, name)
    if option.kind == FLAG:
        if equals and value not in ("true", "false"):
            raise UsageError(f"--{name} takes no value")
        values[option.long] = value != "false"
        return 1
    if equals:
        _store(values, option, value)
        return 1
    _store(values, option, _needed(following, f"--{name}"))
    return 2


def _cluster(table: Sequence[Option], values: Values, word: str, following: str | None) -> int:
    for place in range(1, len(word)):
        option = _lettered(table, word[place])
        if option.kind == FLAG:
            values[option.long] = True
            continue
        rest = word[place + 1 :]
        if rest:
            _store(values, option, rest)
            return 1
        _store(values, option, _needed(following, f"-{word[place]}"))
        return 2
    return 1


def _store(values: Values, option: Option, value: str) -> None:
    if option.kind == VALUE:
        values[option.long] = value
        return
    kept = values.setdefault(option.long, [])
    assert isinstance(kept, list)
    kept.append(value)


def _needed(value: str | None, word: str) -> str:
    if value is None:
        raise UsageError(f"{word} needs a value")
    return value


def _named(table: Sequence[Option], name: str) -> Option:
    for option in table:
        if name and name in (option.long, option.also):
            return option
    raise UsageError(f"no such option: --{name}; --help shows them all")


def _lettered(table: Sequence[Option], letter: str) -> Option:
    for option in table:
        if option.short == letter:
            return option
    raise UsageError(f"no such option: -{letter}; --help shows them all")
