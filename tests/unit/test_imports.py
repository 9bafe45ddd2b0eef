"""Holds the house rules that a reader can't see from one file: who may import what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("pyinit/**/*.py"), *ROOT.glob("control/**/*.py")])
OURS = {"pyinit", "pyinit_ctl"}

FOUNDATION = {"pyinit.errors", "pyinit.linux"}
BASE = FOUNDATION | {"pyinit", "pyinit.spec", "pyinit.varlink"}

# part → the parts it may import besides itself, and the libraries it may load.
# A module belongs to the part with the longest name that is a prefix of its own.
TABLE: dict[str, tuple[set[str], set[str]]] = {
    "pyinit.errors": (set(), set()),
    "pyinit.linux": ({"pyinit.errors"}, set()),
    "pyinit.spec": (FOUNDATION, {"msgspec"}),
    "pyinit.varlink": ({"pyinit.errors"}, {"msgspec"}),
    "pyinit.container": (
        BASE | {"pyinit.init.config"},
        {"msgspec", "pyroute2", "pyseccomp", "structlog"},
    ),
    "pyinit.container.launch": (
        BASE | {"pyinit.container", "pyinit.container.inside", "pyinit.init"},
        {"msgspec", "structlog"},
    ),
    # The child's side of a launch: it ends in init's main.
    "pyinit.container.inside": (
        BASE | {"pyinit.container", "pyinit.init"},
        {"msgspec"},
    ),
    "pyinit.init": (BASE, {"msgspec", "outcome", "structlog", "trio"}),
    "pyinit.__main__": (BASE | {"pyinit.init"}, {"trio"}),
    # The front door of the package names what it hands out on first use.
    "pyinit": ({"pyinit.container.launch", "pyinit.init", "pyinit.spec"}, set()),
    "pyinit_ctl": (
        {
            "pyinit",
            "pyinit.errors",
            "pyinit.spec",
            "pyinit.varlink",
            "pyinit_ctl.logs.source",
            "pyinit_ctl.completion",
        },
        {"click", "msgspec", "outcome", "prometheus_client", "rich", "structlog", "trio"},
    ),
    # Names of capabilities are offered too.
    "pyinit_ctl.completion": (
        {"pyinit_ctl", "pyinit.errors", "pyinit.spec", "pyinit.varlink", "pyinit.linux"},
        {"click"},
    ),
    # Files that grow are waited for by the kernel's own means.
    "pyinit_ctl.logs.changes": (FOUNDATION, set()),
    "pyinit_ctl.logs.source": (
        {"pyinit", "pyinit.errors", "pyinit.spec", "pyinit_ctl", "pyinit_ctl.logs.changes"},
        {"msgspec"},
    ),
    # The verbs that make, change or clear what belongs to the host.
    **{
        f"pyinit_ctl.{place}{verb}": (
            BASE
            | {"pyinit_ctl", "pyinit_ctl.run_attached", "pyinit_ctl.run_detached"}
            | {"pyinit_ctl.run_terminal"}
            | {"pyinit.container", "pyinit.container.launch"},
            {"click", "msgspec", "rich", "structlog", "trio"},
        )
        for place in ("", "verbs.")
        for verb in (
            *("run", "run_attached", "run_terminal", "run_detached", "rm", "stop", "wait"),
            *("ls", "gc", "net", "ns", "update"),
        )
    },
}

# In PID 1 one place waits for children and starts them.
WAITERS = {"wait", "wait3", "wait4", "waitid", "waitpid"}
# One of them in any process, at any time: the lean one does without trio, and nothing else is
# loaded; what waits meanwhile is through before there is a reaper.
REAPERS = {"pyinit.init.reaper", "pyinit.init.meanwhile", "pyinit.init.entrypoint.lean"}


def module_name(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix("")
    parts = relative.parts[1:] if relative.parts[0] == "control" else relative.parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCES}


def imported(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """Every module named by an import statement, wherever it stands."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield node.lineno, inner if inner in MODULES else base


def part_of(module: str) -> str:
    names = module.split(".")
    prefixes = (".".join(names[:length]) for length in range(len(names), 0, -1))
    return next(prefix for prefix in prefixes if prefix in TABLE)


def violations(name: str, path: Path) -> Iterator[str]:
    own = part_of(name)
    parts, libraries = TABLE[own]
    for line, target in imported(path, name):
        top = target.partition(".")[0]
        where = f"{path.relative_to(ROOT)}:{line}: {name} imports {target}"
        if top in OURS:
            if part_of(target) not in parts | {own}:
                yield where
        elif top not in sys.stdlib_module_names and top not in libraries:
            yield where


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name: str) -> None:
    assert not list(violations(name, MODULES[name]))


@pytest.mark.parametrize("name", MODULES)
def test_ctypes_only_where_the_kernel_is_called(name: str) -> None:
    users = [line for line, top in imported(MODULES[name], name) if top.startswith("ctypes")]
    assert not users or name.startswith("pyinit.linux"), users


def waits(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=attribute) if attribute in WAITERS:
                yield node.lineno
            case ast.ImportFrom(module="os") if WAITERS & {alias.name for alias in node.names}:
                yield node.lineno


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("pyinit.init")])
def test_one_owner_of_waiting(name: str) -> None:
    path = MODULES[name]
    assert name in REAPERS or not list(waits(path))
    names = {target for _, target in imported(path, name)}
    assert not names & {"subprocess", "multiprocessing", "asyncio"}
    assert "run_process" not in path.read_text()


def test_no_package_named_control() -> None:
    assert not (ROOT / "control" / "__init__.py").exists()


def tracked() -> list[Path]:
    # The clone may belong to somebody else than who tests it, which git refuses by default.
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        pytest.skip("not a git checkout, or no git")
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


def test_no_addresses_or_machine_paths_are_tracked() -> None:
    # Written in pieces, or this file would be the first to be found.
    hosts = ["pypi" + r"\.org", "python" + "hosted"]
    paths = ["/wo" + r"rk/(main|shared)\b", "/tmp/" + r"wt\b", r"/root/\." + "pyenv"]
    own = [re.escape(str(ROOT))] if len(ROOT.parts) > 2 else []
    forbidden = re.compile("|".join([*hosts, *paths, *own]).encode())
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in tracked()
        if path.is_file() and not path.is_symlink()
        for match in [forbidden.search(path.read_bytes())]
        if match
    ]
    assert not found
