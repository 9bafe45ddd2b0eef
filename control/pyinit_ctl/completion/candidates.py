"""What can stand where the cursor is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from pyinit_ctl.cli import QUICK, VERBS, root
from pyinit_ctl.completion import values
from pyinit_ctl.completion.shape import Option, Shape, dial_shape, exec_shape, shape_of
from pyinit_ctl.completion.values import Found


def candidates(words: Sequence[str]) -> Found:
    """For the last of the words behind `pyinit-ctl`, which is unfinished."""
    *before, incomplete = words
    if not before:
        return values.fit(_verbs(), incomplete)
    shape = _shape(before[0])
    if shape is None:
        return iter(())
    rest = before[1:]
    while rest and shape.verbs:
        shape, rest = _shape_below(shape, before[0], rest)
    return values.fit(_in(shape, rest, incomplete), incomplete)


def _verbs() -> Found:
    yield from ((name, about) for name, (about, _) in QUICK.items())
    yield from VERBS.items()
    yield from (("--help", "show all verbs"), ("--version", "show the version"))


def _shape(verb: str) -> Shape | None:
    tabled: dict[str, Callable[[], Shape]] = {"exec": exec_shape, "dial": dial_shape}
    if verb in tabled:
        return tabled[verb]()
    command = root.get_command(click.Context(root), verb)
    return None if command is None else shape_of(command)


def _shape_below(shape: Shape, verb: str, rest: list[str]) -> tuple[Shape, list[str]]:
    """Of `net add`, when `net` is known."""
    group = root.get_command(click.Context(root), verb)
    command = (
        group.get_command(click.Context(group), rest[0]) if isinstance(group, click.Group) else None
    )
    return (Shape() if command is None else shape_of(command)), rest[1:]


def _in(shape: Shape, before: Sequence[str], incomplete: str) -> Found:
    """Among the words of one verb."""
    place = _Place(shape)
    for word in before:
        place.go_past(word)
    if place.awaiting is not None:
        yield from _values_of(place.awaiting, incomplete, place.target)
    elif place.takes_options and incomplete.startswith("--") and "=" in incomplete:
        name, _, begun = incomplete.partition("=")
        option = shape.option(name)
        if option is not None and option.metavar:
            for word, about in _values_of(option, begun, place.target):
                yield (word if word.startswith(":") else f"{name}={word}"), about
    elif place.takes_options and incomplete.startswith("-"):
        for each in shape.options:
            yield from ((name, each.help) for name in each.names)
    elif shape.verbs:
        yield from shape.verbs.items()
    elif not place.is_elsewhere:
        yield from values.of_operand(shape.operand(place.operands), incomplete, place.target)


def _values_of(option: Option, incomplete: str, target: str | None) -> Found:
    if option.choices:
        return iter([(each, "") for each in option.choices])
    name = next((each[2:] for each in option.names if each.startswith("--")), "")
    return values.of_option(name, option.metavar, incomplete, target)


class _Place:
    """How far the words of a verb have come."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self.operands = 0
        self.target: str | None = None
        self.awaiting: Option | None = None
        self.takes_options = True
        # Containers of another machine are not looked up: ssh may ask for a password.
        self.is_elsewhere = False

    def go_past(self, word: str) -> None:
        """The word is complete."""
        if self.awaiting is not None:
            self.awaiting = None
        elif self.takes_options and word == "--":
            self.takes_options = False
        elif self.takes_options and len(word) > 1 and word.startswith("-"):
            self._go_past_option(word)
        else:
            if self._shape.operand(self.operands) in {"TARGET", "NAME"}:
                self.target = word
            self.operands += 1
            self.takes_options = self.takes_options and self._shape.mixed

    def _go_past_option(self, word: str) -> None:
        if word.startswith("--"):
            self._take(self._shape.option(word.partition("=")[0]), has_value="=" in word)
            return
        # Letters together: the first that takes a value has the rest of the word, or the next.
        for place, letter in enumerate(word[1:], 1):
            option = self._shape.option(f"-{letter}")
            self._take(option, has_value=place < len(word) - 1)
            if option is not None and option.metavar:
                return

    def _take(self, option: Option | None, *, has_value: bool) -> None:
        takes_value = option is not None and option.metavar and not has_value
        self.awaiting = option if takes_value else None
        self.is_elsewhere |= option is not None and "--host" in option.names
