"""Names that can stand in a place of the command line: fixed ones, and those that are there now.

What a container says is handed to a shell here, so only plain words pass, and not many.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from pyinit.errors import PyinitError
from pyinit.linux.capability_names import NAMES
from pyinit.spec.privileges import RLIMIT_NAMES
from pyinit.varlink.idl import parse
from pyinit.varlink.service import definition
from pyinit_ctl import registry
from pyinit_ctl.printable import printable
from pyinit_ctl.replies import INTERFACE
from pyinit_ctl.wire import Link

FILES, FOLDERS = ":files", ":dirs"
"""Stand for the shell's own completion of paths."""

# Nothing in it means anything to a shell.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+,./:=-]+", re.ASCII)
_MOST = 500
# A container that does not answer must not hold up the one who types (seconds).
_PATIENCE = 1.0

Found = Iterator[tuple[str, str]]
"""Words, each with what it is."""

_NAMESPACES = ("private", "host", "container:")
_FIXED: dict[str, Iterable[str]] = {
    "net": ("none", "host", "bridge", "container:"),
    "network": ("none", "host", "bridge", "container:"),
    "pid": _NAMESPACES,
    "ipc": _NAMESPACES,
    "uts": _NAMESPACES,
    "time": _NAMESPACES,
    "cgroupns": ("private", "host"),
    "userns": ("host", "private", "auto", "keep-id", "container:"),
    "pin": ("net", "ipc", "uts", "cgroup", "user", "time"),
    "cap-add": ("ALL", *(name.removeprefix("CAP_") for name in NAMES)),
    "cap-drop": ("ALL", *(name.removeprefix("CAP_") for name in NAMES)),
    "security-opt": ("no-new-privileges", "no-new-privileges=false", "seccomp="),
    "ulimit": [f"{name}=" for name in RLIMIT_NAMES],
    "time-offset": ("monotonic=", "boottime="),
}
# By what the help calls a value or an operand.
_PATHS = {"FILE": FILES, "PATH": FILES, "DIR": FOLDERS}


def of_option(name: str, metavar: str, incomplete: str, target: str | None) -> Found:
    """For the value of the option `--name`."""
    if name == "signal":
        yield from _signals()
    elif name == "service":
        yield from _services(target)
    elif name == "volume":
        yield FILES, ""
    elif "container:" in _FIXED.get(name, ()) and incomplete.startswith("container:"):
        yield from ((f"container:{each}", "") for each, _ in _containers(incomplete))
    elif name in _FIXED:
        yield from ((each, "") for each in _FIXED[name])
    elif metavar in _PATHS:
        yield _PATHS[metavar], ""


def of_operand(kind: str, incomplete: str, target: str | None) -> Found:
    """For an operand that the help calls `kind`. `target` is the one before it."""
    provide = _OPERANDS.get(kind)
    if provide is not None:
        yield from provide(incomplete)
        return
    for each in kind.split("|"):
        if each in _ABOUT_TARGET:
            yield from _ABOUT_TARGET[each](target)


def _containers(incomplete: str) -> Found:
    if "/" in incomplete:
        yield FILES, ""  # a socket's path
        return
    with suppress(PyinitError):
        yield from ((name, "container") for name in registry.names() if _PLAIN.fullmatch(name))


def _signals(_incomplete: str = "") -> Found:
    yield from ((each.name.removeprefix("SIG"), "") for each in signal.Signals)


def _methods(_incomplete: str) -> Found:
    interface = parse(definition(INTERFACE), INTERFACE)
    yield from ((name, "") for name in interface.methods)


def _execs(target: str | None) -> Found:
    for each in _asked(target, "ListExecs", "execs"):
        argv = each.get("argv")
        words = " ".join(map(str, argv)) if isinstance(argv, list) else ""
        yield str(each.get("id")), f"{each.get('state')}: {words}"


def _services(target: str | None) -> Found:
    for each in _asked(target, "ListServices", "services"):
        yield str(each.get("name")), f"service, {each.get('state')}"


def _asked(target: str | None, method: str, member: str) -> Iterator[dict[str, Any]]:
    """A list of the container's, as far as it is one. Nothing from one that does not answer."""
    try:
        if target is None:
            return
        with Link(registry.connect(registry.resolve(target), blocking=False)) as link:
            link.set_timeout(_PATIENCE)
            found = link.call(method, {}).get(member)
    except (PyinitError, BlockingIOError):
        return
    if isinstance(found, list):
        yield from (each for each in found if isinstance(each, dict))


_OPERANDS: dict[str, Callable[[str], Found]] = {
    "TARGET": _containers,
    "NAME": _containers,
    "SIGNAL": _signals,
    "METHOD": _methods,
    "PATH": lambda _: iter([(FILES, "")]),
    "SHELL": lambda _: iter([("bash", ""), ("zsh", ""), ("fish", "")]),
    "KIND": lambda _: iter([(each, "") for each in _FIXED["pin"]]),
}
_ABOUT_TARGET: dict[str, Callable[[str | None], Found]] = {
    "EXEC_ID": _execs,
    "EXEC": _execs,
    "SERVICE": _services,
    "SERVICES": _services,
}


def fit(found: Found, incomplete: str) -> Found:
    """Those that begin with what was typed, are plain, and are not too many; what they are in
    printable characters."""
    left = _MOST
    for word, about in found:
        if word in (FILES, FOLDERS):
            yield word, ""
        elif word.startswith(incomplete) and _PLAIN.fullmatch(word) and left:
            left -= 1
            yield word, " ".join(printable(about).split())[:100]
