"""Verbs that are parsed by a table: by themselves and by way of click."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from pyinit.errors import UsageError
from pyinit_ctl.click_verb import command_of
from pyinit_ctl.flags import FLAG, LIST, VALUE, Given, Option
from pyinit_ctl.verb import Verb
from tests.support.ctl import ctl

OPTIONS = (
    Option("f", "flag", FLAG, "", "a flag"),
    Option("v", "some-value", VALUE, "V", "a value", also="val"),
    Option("h", "list", LIST, "L", "a list"),
)
COMMAND_LINES = [
    (["x"], ["x"], {}),
    (["-f", "--val", "1", "x", "y"], ["x", "y"], {"flag": True, "some-value": "1"}),
    (["-ha", "--list=b", "--some-value", "", "x"], ["x"], {"list": ["a", "b"], "some-value": ""}),
    (["x", "--", "-f"], ["x", "-f"], {}),
]


class Told:
    """What a verb was asked for."""

    def __init__(self) -> None:
        self.given: object = None
        self.words: list[str] = []

    def carry_out(self, given: Given, words: list[str]) -> int:
        self.given, self.words = given.given, words
        return 7


def verb(told: Told, *operands: str, command: bool = False) -> Verb:
    return Verb("try", "Try it.", OPTIONS, operands, told.carry_out, command=command)


@pytest.mark.parametrize(("words", "others", "given"), COMMAND_LINES)
def test_a_table_parses_as_click_does(
    words: list[str], others: list[str], given: dict[str, object]
) -> None:
    told = Told()
    tried = verb(told, "TARGET", "[SERVICE]...")
    assert tried.main(words) == 7
    assert (told.words, told.given) == (others, given)
    by_click = Told()
    with pytest.raises(SystemExit, match="7"):
        command_of(verb(by_click, "TARGET", "[SERVICE]...")).main(words, standalone_mode=False)
    assert (by_click.words, by_click.given) == (others, given)


def test_options_behind_a_command_are_its_own() -> None:
    told = Told()
    assert verb(told, "[COMMAND [ARG]...]", command=True).main(["-f", "x", "-f"]) == 7
    assert (told.words, told.given) == (["x", "-f"], {"flag": True})


@pytest.mark.parametrize(
    ("operands", "words"), [(("A", "[B]"), []), (("A", "[B]"), ["1", "2", "3"]), ((), ["1"])]
)
def test_too_few_words_and_too_many(operands: tuple[str, ...], words: list[str]) -> None:
    tried = verb(Told(), *operands)
    with pytest.raises(UsageError, match="pyinit-ctl try"):
        tried.check(words)
    with pytest.raises(click.UsageError):
        command_of(tried).main(words, standalone_mode=False)


def test_help_is_of_the_table(run_dir: Path) -> None:
    shown = ctl(run_dir, "run", "-it", "--help").stdout
    assert shown == ctl(run_dir, "--", "run", "--help").stdout
    assert b"-v, --volume" in shown
    assert b"--net, --network" in shown
