"""docs/reference/entrypoint.md names every option there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from pyinit.init.entrypoint.answers import HELP
from pyinit.init.entrypoint.options import _LONG, _SHOWN, _SWITCHES

PAGE = Path(__file__).resolve().parents[4] / "docs" / "reference" / "entrypoint.md"
SHORT = {f"-{key}" for key in ("e", "p", "r", "v", *_SWITCHES, *_SHOWN) if len(key) == 1}


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text))


def test_the_page_has_every_option() -> None:
    table = PAGE.read_text().partition("## Options")[2].partition("Signals are given")[0]
    assert options_in(table) == SHORT | set(_LONG)


def test_the_help_has_every_option() -> None:
    assert options_in(HELP.partition("Environment")[0]) - {"-ctl"} == SHORT | set(_LONG) | {"-vv"}
