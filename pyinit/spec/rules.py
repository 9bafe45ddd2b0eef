"""What the parts of a specification may hold together: checked wherever one comes from.

The file's reader and PID 1 (for what a client sends) both ask here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from pyinit.errors import UsageError
from pyinit.spec.addresses import check_address, listen_address, url_address
from pyinit.spec.faults import Fault, Path, SpecError
from pyinit.spec.order import cycles
from pyinit.spec.privileges import RLIMIT_NAMES, Rlimit, read_capability
from pyinit.spec.reading import unknown_name
from pyinit.spec.service import Backoff, Check, Services, ServiceSpec, SocketSpec

Found = Iterator[tuple[Path, str]]
"""Faults as (path within the service, message)."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", re.ASCII)
_VARIABLE = re.compile(r"[^=\0]+")
_MOST_SOCKETS = 64

# Their logs would be init's own and the command's, in the same folder.
_TAKEN = ("init", "main")


def require_valid(services: Services) -> Services:
    """`services` as they are. Raises SpecError with everything that is wrong with them."""
    faults = tuple(find_faults(services))
    if faults:
        raise SpecError(faults)
    return services


def find_faults(services: Services) -> Iterator[Fault]:
    """Everything that is wrong with `services`: with each one, and between them."""
    for name, spec in services.items():
        if not NAME.fullmatch(name):
            yield Fault(
                ("services", name),
                f"bad name {name!r}: letters, digits and _ . @ - only, at most 64",
            )
        if name in _TAKEN:
            yield Fault(
                ("services", name), f"a service can't be called {name}: choose another name"
            )
        for path, message in _of_service(name, spec, services):
            yield Fault(("services", name, *path), message)
    for cycle in cycles(services):
        way = " -> ".join((*cycle, cycle[0]))
        yield Fault(("services", cycle[0]), f"services wait for each other: {way}")


def _of_service(name: str, spec: ServiceSpec, services: Services) -> Found:
    for rule in _RULES:
        yield from rule(spec)
    yield from _relations(name, spec, services)


def _relations(name: str, spec: ServiceSpec, services: Services) -> Found:
    for key in ("requires", "wants", "after", "before"):
        for at, other in enumerate(getattr(spec, key)):
            if other == name:
                yield (key, at), f"`{key}`: a service can't name itself"
            elif other not in services:
                yield (key, at), f"`{key}`: {unknown_name('service', other, services)}"


def _command(spec: ServiceSpec) -> Found:
    if not spec.command or not spec.command[0]:
        yield ("command",), "`command` is empty; give the program and its arguments"
    for key in ("command", "stop_command"):
        if any("\0" in word for word in getattr(spec, key)):
            yield (key.replace("_", "-"),), "a word of a command can't hold a NUL"


def _surroundings(spec: ServiceSpec) -> Found:
    for key, value in spec.env.items():
        if not _VARIABLE.fullmatch(key) or "\0" in value:
            yield ("env", key), f"`env`: {key!r} can't be set: a name without =, no NUL"
    if not spec.cwd.startswith("/"):
        yield ("cwd",), f"`cwd`: expected an absolute path, got {spec.cwd!r}"
    if not 0 <= spec.umask <= 0o777:
        yield ("umask",), "`umask`: expected 0000 to 0777"
    for key, (soft, hard) in spec.rlimits.items():
        yield from _rlimit(key, soft, hard)


def _rlimit(key: str, soft: int, hard: int) -> Found:
    if key not in RLIMIT_NAMES:
        yield ("rlimits", key), f"`rlimits`: {unknown_name('limit', key, RLIMIT_NAMES)}"
        return
    try:
        Rlimit(key, soft, hard)
    except UsageError as error:
        yield ("rlimits", key), f"`rlimits`: {error}"


def _privileges(spec: ServiceSpec) -> Found:
    named: dict[str, str] = {}
    for key, names in (("cap-add", spec.cap_add), ("cap-drop", spec.cap_drop)):
        for at, name in enumerate(names):
            try:
                capability = read_capability(name, key)
            except UsageError as error:
                yield (key, at), str(error)
                continue
            if named.setdefault(capability, key) != key and capability != "ALL":
                yield (key, at), f"`{key}`: {capability} is in `{named[capability]}` as well"


def _readiness(spec: ServiceSpec) -> Found:
    if spec.notify_fd is not None:
        lowest = 3 + len(spec.sockets)
        if spec.type != "notify":
            yield ("notify-fd",), '`notify-fd` needs type = "notify"'
        if not lowest <= spec.notify_fd <= 1023:
            yield ("notify-fd",), f"`notify-fd`: expected {lowest} to 1023"
    if spec.watchdog and spec.type == "oneshot":
        yield ("watchdog",), "`watchdog` is for services that stay, not for oneshot"
    if spec.watchdog and spec.notify_fd is not None:
        yield ("watchdog",), "`watchdog` needs sd_notify, and `notify-fd` takes its place"
    if spec.checks and spec.type == "oneshot":
        yield ("checks",), "`checks` are for services that stay, not for oneshot"


def _ending(spec: ServiceSpec) -> Found:
    if spec.type == "oneshot" and spec.restart == "always":
        yield ("restart",), '`restart` = "always" would run a oneshot for ever'
    for at, code in enumerate(spec.success_exit_codes):
        if not 0 <= code <= 255:
            yield ("success-exit-codes", at), "`success-exit-codes`: expected 0 to 255"
    if spec.essential and spec.on_failure == "ignore":
        yield ("on-failure",), '`on-failure` = "ignore" contradicts `essential`'
    never_fails = spec.restart != "no" and not spec.backoff.attempts
    if never_fails and spec.ends_container_on_failure:
        key = "essential" if spec.essential else "on-failure"
        yield (
            (key,),
            (
                f"`{key}` would never come about: `restart` goes on for ever; "
                "give `backoff.attempts`, or drop one of them"
            ),
        )
    if spec.restart == "always" and spec.on_success == "shutdown":
        yield ("on-success",), '`on-success` would never come about: `restart` = "always"'


def _signals(spec: ServiceSpec) -> Found:
    if not 1 <= spec.stop_signal <= 64:
        yield ("stop-signal",), "`stop-signal`: expected 1 to 64"


def _backoff(spec: ServiceSpec) -> Found:
    backoff: Backoff = spec.backoff
    if not 1 <= backoff.factor <= 1000:
        yield ("backoff", "factor"), "`factor`: expected 1 to 1000"
    if not 0 <= backoff.jitter <= 1:
        yield ("backoff", "jitter"), "`jitter`: expected 0 to 1, a share of the delay"
    if backoff.limit < backoff.initial:
        yield ("backoff", "limit"), "`limit` is below `initial`"
    if backoff.attempts < 0:
        yield ("backoff", "attempts"), "`attempts` is negative; 0 means no bound"


def _times(spec: ServiceSpec) -> Found:
    for key in ("start_timeout", "stop_timeout", "extend_limit", "watchdog"):
        value = getattr(spec, key)
        if value is not None and value < 0:
            shown = key.replace("_", "-")
            yield (shown,), f"`{shown}`: a duration is not negative"
    if spec.backoff.initial < 0 or spec.backoff.reset_after < 0:
        yield ("backoff",), "`backoff`: a duration is not negative"


def _checks(spec: ServiceSpec) -> Found:
    for name, check in spec.checks.items():
        if not NAME.fullmatch(name):
            yield ("checks", name), f"bad name {name!r}: letters, digits and _ . @ - only"
        for key, message in _of_check(check):
            yield ("checks", name, *key), message


def _of_check(check: Check) -> Found:
    kinds = [bool(check.exec), bool(check.tcp), check.http is not None]
    if sum(kinds) != 1:
        yield (), "a check has exactly one of `exec`, `tcp` and `http`"
    if check.tcp:
        yield from _address(("tcp",), check_address, check.tcp)
    if check.http is not None:
        yield from _address(("http", "url"), url_address, check.http.url)
        for key, value in check.http.headers.items():
            if any(mark in key + value for mark in "\r\n\0"):
                yield ("http", "headers", key), "a header can't hold a line break"
    if check.period <= 0 or check.timeout <= 0:
        yield ("period",), "`period` and `timeout`: more than 0"
    if check.threshold < 1:
        yield ("threshold",), "`threshold`: at least 1"


def _address(path: Path, parse: Callable[[str], object], text: str) -> Found:
    try:
        parse(text)
    except ValueError as error:
        yield path, f"`{path[-1]}`: {error}"


def _sockets(spec: ServiceSpec) -> Found:
    if len(spec.sockets) > _MOST_SOCKETS:
        yield ("sockets",), f"`sockets`: at most {_MOST_SOCKETS}"
    for at, socket in enumerate(spec.sockets):
        for key, message in _of_socket(socket):
            yield ("sockets", at, *key), message
    for name in _repeated(socket.listen for socket in spec.sockets):
        yield ("sockets",), f"`sockets`: {name} is there twice"


def _of_socket(socket: SocketSpec) -> Found:
    yield from _address(("listen",), listen_address, socket.listen)
    # sd_listen_fds_with_names(3): printable ASCII without colon, at most 255 characters.
    if socket.name and not re.fullmatch(r"[!-9;-~]{1,255}", socket.name):
        yield ("name",), "`name`: printable characters without colon"
    if socket.backlog < 1:
        yield ("backlog",), "`backlog`: at least 1"
    if not 0 <= socket.mode <= 0o777:
        yield ("mode",), "`mode`: expected 0000 to 0777"


def _log(spec: ServiceSpec) -> Found:
    if spec.log.max_size < 4096:
        yield ("log", "max-size"), "`max-size`: at least 4096 bytes"
    if not 1 <= spec.log.max_files <= 1000:
        yield ("log", "max-files"), "`max-files`: expected 1 to 1000"


def _repeated(items: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [item for item in items if item in seen or seen.add(item)]  # type: ignore[func-returns-value]


_RULES: tuple[Callable[[ServiceSpec], Found], ...] = (
    _command,
    _surroundings,
    _privileges,
    _readiness,
    _ending,
    _signals,
    _backoff,
    _times,
    _checks,
    _sockets,
    _log,
)
