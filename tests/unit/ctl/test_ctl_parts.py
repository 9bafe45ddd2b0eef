"""Parts of pyinit_ctl that need no process: options, text, statuses, paths."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import (
    CommandNotExecutable,
    CommandNotFound,
    InUse,
    NotFound,
    ProtocolError,
    PyinitError,
    SystemFault,
    Unsupported,
    UsageError,
)
from pyinit_ctl import registry, run_table
from pyinit_ctl.exec_options import OPTIONS, ExecOptions, key_bytes
from pyinit_ctl.failures import failure
from pyinit_ctl.flags import FLAG, LIST, VALUE, Given, Option, parse
from pyinit_ctl.output import size, span
from pyinit_ctl.printable import printable
from pyinit_ctl.replies import INTERFACE, SERVICE, exit_status, return_code

TABLE = (
    Option("a", "all", FLAG, "", ""),
    Option("b", "both", FLAG, "", ""),
    Option("v", "value", VALUE, "V", ""),
    Option("l", "list", LIST, "L", ""),
)


@pytest.mark.parametrize(
    ("words", "values", "rest"),
    [
        ([], {}, []),
        (["-ab"], {"all": True, "both": True}, []),
        (["-abvx", "t"], {"all": True, "both": True, "value": "x"}, ["t"]),
        (["-abv", "x", "t"], {"all": True, "both": True, "value": "x"}, ["t"]),
        (["--value=x", "--value", "y"], {"value": "y"}, []),
        (["--value="], {"value": ""}, []),
        (["-l1", "-l", "2", "--list", "3", "--list=4"], {"list": ["1", "2", "3", "4"]}, []),
        (["-a", "--", "-b"], {"all": True}, ["-b"]),
        (["t", "-a"], {}, ["t", "-a"]),
        (["-", "-a"], {}, ["-", "-a"]),
        (["--all=false", "-v", "--", "x"], {"all": False, "value": "--"}, ["x"]),
    ],
)
def test_parsing(words: list[str], values: dict[str, Any], rest: list[str]) -> None:
    assert parse(TABLE, words) == (values, rest)


def test_options_between_words() -> None:
    assert parse(TABLE, ["t", "-a", "-", "-l1", "--", "-b"], mixed=True) == (
        {"all": True, "list": ["1"]},
        ["t", "-", "-b"],
    )


def test_another_name() -> None:
    table = (Option("", "net", VALUE, "N", "", also="network"), *TABLE)
    assert parse(table, ["--network", "x", "--net=y"]) == ({"net": "y"}, [])
    with pytest.raises(UsageError):
        parse(TABLE, ["--=x"])


def test_typed_values() -> None:
    given = Given({"n": "-7", "s": "2.5", "none": True})
    assert (given.whole("n"), given.seconds("s")) == (-7, 2.5)
    assert (given.whole("none"), given.seconds("absent"), given.values("n")) == (None, None, [])


@pytest.mark.parametrize("text", ["", "x", "1.5", "²", "--1", "1_0", "9" * 19])
def test_no_whole_numbers(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--n {text!r} is no whole number"):
        Given({"n": text}).whole("n")


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1e10"])
def test_no_times(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--n {text!r} is no time"):
        Given({"n": text}).seconds("n")


@pytest.mark.parametrize(
    "words", [["-x"], ["--nope"], ["-v"], ["--value"], ["--all=x"], ["-avx", "-l"], ["-a-b"]]
)
def test_words_that_are_no_options(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(TABLE, words)


@given(st.lists(st.text(string.printable, max_size=9), max_size=6))
def test_no_command_line_raises_anything_else(words: list[str]) -> None:
    try:
        ExecOptions.parse(words).command()
    except PyinitError:
        return


@pytest.mark.parametrize("table", [OPTIONS, run_table.OPTIONS, run_table.LIMIT_OPTIONS])
def test_options_have_names_of_their_own(table: tuple[Option, ...]) -> None:
    longs = [name for option in table for name in (option.long, option.also) if name]
    shorts = [option.short for option in table if option.short]
    assert len(set(longs)) == len(longs)
    assert len(set(shorts)) == len(shorts)


@pytest.mark.parametrize(
    "words",
    [
        ["--env", "=x"],
        ["--env-file", "/nowhere"],
        ["--env-file", "/dev/zero"],
        ["--ulimit", "nofile"],
        ["--ulimit", "nofile=many"],
        ["--ulimit", "nofile=1:²"],
        ["--umask", "9"],
        ["--umask", "1777"],
        ["--timeout", "0"],
        ["--timeout", "nan"],
        ["--timeout", "inf"],
        ["--grace", "-1"],
    ],
)
def test_values_that_can_not_be(words: list[str]) -> None:
    with pytest.raises((UsageError, SystemFault), match=words[0]):
        ExecOptions.parse([*words, "web", "true"]).command()


def test_keys() -> None:
    assert key_bytes("ctrl-p,ctrl-q") == b"\x10\x11"
    assert key_bytes("a,ctrl-[,ctrl-@") == b"a\x1b\x00"
    assert key_bytes("") == b""
    for bad in ("ctrl-", "ctrl-pq", "é", ",", "ctrl-1"):
        with pytest.raises(UsageError):
            key_bytes(bad)


@given(st.text())
def test_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text, 10)) <= 11 * 10  # an escape takes at most ten
    if text.isprintable() and len(text) <= 1000:
        assert printable(text) == text


@pytest.mark.parametrize(
    ("status", "shell", "python"),
    [
        ({"code": 0}, 0, 0),
        ({"code": 255, "signal": None}, 255, 255),
        ({"signal": 9}, 137, -9),
        ({"code": None, "signal": 15}, 143, -15),
    ],
)
def test_statuses(status: object, shell: int, python: int) -> None:
    assert (exit_status(status), return_code(status)) == (shell, python)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@given(json_values)
def test_any_status_is_right_or_refused(status: object) -> None:
    try:
        assert 0 <= exit_status(status) <= 255
    except ProtocolError:
        return


ERRORS = {
    f"{INTERFACE}.NotFound": NotFound,
    f"{INTERFACE}.CommandNotFound": CommandNotFound,
    f"{INTERFACE}.CommandNotExecutable": CommandNotExecutable,
    f"{INTERFACE}.InvalidArgument": UsageError,
    f"{INTERFACE}.InUse": InUse,
    f"{INTERFACE}.Exhausted": SystemFault,
    f"{INTERFACE}.ShuttingDown": Unsupported,
    f"{INTERFACE}.Unsupported": Unsupported,
    f"{INTERFACE}.SystemFailure": SystemFault,
    f"{SERVICE}.InterfaceNotFound": Unsupported,
    f"{SERVICE}.MethodNotFound": Unsupported,
    f"{SERVICE}.MethodNotImplemented": Unsupported,
    f"{SERVICE}.InvalidParameter": UsageError,
    f"{SERVICE}.PermissionDenied": Unsupported,
    f"{SERVICE}.ExpectedMore": UsageError,
    "com.example.Other": ProtocolError,
}


@given(st.sampled_from(sorted(ERRORS)), st.dictionaries(st.text(), json_values))
def test_every_error_has_a_class_and_one_line(name: str, parameters: dict[str, Any]) -> None:
    found = failure(name, parameters)
    assert type(found) is ERRORS[name]
    assert str(found).isprintable()


def test_each_error_of_the_idl_is_known() -> None:
    idl = Path(registry.__file__).parents[2] / "pyinit" / "varlink" / "io.pyinit.Control.varlink"
    named = [line.split()[1] for line in idl.read_text().splitlines() if line.startswith("error ")]
    assert named
    for name in named:
        assert type(failure(f"{INTERFACE}.{name}", {})) is not ProtocolError


def test_the_run_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYINIT_RUN_DIR", "/a")
    assert registry.run_folder() == "/a"
    monkeypatch.delenv("PYINIT_RUN_DIR")
    monkeypatch.setattr("posix.geteuid", lambda: 0)
    assert registry.run_folder() == "/run/pyinit"
    monkeypatch.setattr("posix.geteuid", lambda: 7)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/b")
    assert registry.run_folder() == "/b/pyinit"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert registry.run_folder() == "/run/user/7/pyinit"


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a\0b"])
def test_names_that_can_not_be(run_dir: Path, name: str) -> None:
    with pytest.raises(UsageError):
        registry.resolve(name)


def test_a_name_that_is_nearly_right(run_dir: Path) -> None:
    for name in ("website", "database"):
        (run_dir / name).mkdir()
        (run_dir / name / "state.json").touch()
    with pytest.raises(NotFound, match=r"there is website$"):
        registry.resolve("websiet")
    with pytest.raises(NotFound, match="database, website"):
        registry.resolve("zzz")


def test_sizes_and_spans() -> None:
    assert [size(n) for n in (None, 0, 1023, 1536, 5 << 30, 3 << 40)] == [
        "-", "0 B", "1023 B", "1.5 KiB", "5.0 GiB", "3.0 TiB",
    ]  # fmt: skip
    assert [span(n) for n in (-1, 59, 200, 7500, 370_000)] == [
        "0s", "59s", "3m 20s", "2h 5m", "4d 6h",
    ]  # fmt: skip
