"""What a service is: a frozen value that reads from TOML and round trips through JSON.

Keys are written in kebab-case in both. Durations are seconds here, and may be written
as "1m30s" in TOML; signals are numbers here, and may be written as "SIGTERM".
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pyinit.spec.limits import Limits
from pyinit.spec.privileges import Privileges, change_capabilities, change_rlimits, rlimits_of

Type = Literal["simple", "oneshot", "notify"]
Restart = Literal["no", "on-failure", "always"]
KillMode = Literal["group", "process", "cgroup"]
OnFailure = Literal["record", "ignore", "shutdown"]
OnSuccess = Literal["ignore", "shutdown"]
CheckAction = Literal["none", "restart", "shutdown"]
NotifyAccess = Literal["main", "all"]
Startup = Literal["enabled", "disabled"]

SIGTERM = 15  # on every architecture (signal(7)); the module signal takes 2 ms to load


class _Spec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="kebab",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """What all parts of a specification have in common."""


class Backoff(_Spec, frozen=True, kw_only=True):
    """How long to wait before the n-th restart in a row.

    `initial * factor ** n` seconds, at most `limit`, then up to `jitter` (a share of it)
    more or less. A run of at least `reset_after` seconds since it was ready starts the
    count again. After `attempts` restarts in a row the service has failed; 0 means never.
    """

    initial: float = 0.5
    factor: float = 2.0
    jitter: float = 0.1
    limit: float = 30.0
    reset_after: float = 60.0
    attempts: int = 0


class HttpCheck(_Spec, frozen=True, kw_only=True):
    """A GET that has to be answered with `status`, or any of 200 to 399 where that is 0."""

    url: str
    headers: dict[str, str] = {}
    status: int = 0


class Check(_Spec, frozen=True, kw_only=True):
    """Whether a ready service is healthy: exactly one of `exec`, `tcp` and `http`.

    Every `period` seconds; `threshold` failures in a row bring about `action`. Failures in
    the first `start_period` seconds after the service was ready do not count. `tcp` is a
    port or "host:port"; hosts are numeric or `localhost`, because PID 1 resolves no names.
    """

    exec: tuple[str, ...] = ()
    tcp: str = ""
    http: HttpCheck | None = None
    period: float = 10.0
    timeout: float = 3.0
    threshold: int = 3
    start_period: float = 0.0
    action: CheckAction = "none"


class SocketSpec(_Spec, frozen=True, kw_only=True):
    """A socket that init opens before the service starts and keeps open across restarts.

    `listen` is "tcp:HOST:PORT", "udp:HOST:PORT", "unix:PATH" or "unix-dgram:PATH" with a
    numeric host ("[::1]" for IPv6). Handed over from descriptor 3 on, as sd_listen_fds(3)
    says; `name` goes to LISTEN_FDNAMES. `mode` is that of a socket in the file system.
    """

    listen: str
    name: str = ""
    backlog: int = 128
    mode: int = 0o666


class LogOptions(_Spec, frozen=True, kw_only=True):
    """What is kept of the service's output: `max_files` files of `max_size` bytes.

    `keep = false` sends the output to /dev/null. `prefix` is what stands before each line
    on init's own stdout, the name of the service when empty.
    """

    keep: bool = True
    max_size: int = 10 << 20
    max_files: int = 5
    prefix: str = ""


class ServiceSpec(_Spec, frozen=True, kw_only=True):
    """One supervised command.

    `requires`: started first, ready before this one starts, and this one fails without it;
    stopping it stops this one before. `wants`: started as well, without waiting for it.
    `after` and `before`: order only; they wait until the other is ready or has given up.

    `on_failure` and `on_success` say what the container does once the service has ended and
    will not be restarted: "shutdown" ends it with the service's code, "record" goes on and
    lets the container's own exit code tell, "ignore" forgets it. `essential` stands for
    "shutdown" in both.

    `start_timeout` bounds the time until it is ready; None is 90 s for `notify` and no bound
    for `oneshot`; 0 is no bound. `extend_limit` bounds how far EXTEND_TIMEOUT_USEC can move
    a start or a stop from its beginning. `notify_fd` is the descriptor on which the service
    writes a newline when it is ready (s6's convention) in place of sd_notify(3).
    `success_exit_codes` count as success besides 0; 128 + n is death by signal n.

    `cap_add`, `cap_drop`, `rlimits` and `no_new_privileges` change what the container grants
    to all its commands; None leaves that as it is. `limits` are those of the service's cgroup.
    """

    command: tuple[str, ...]
    user: str = ""
    group: str = ""
    env: dict[str, str] = {}
    env_files: tuple[str, ...] = ()
    cwd: str = "/"
    umask: int = 0o022
    rlimits: dict[str, tuple[int, int]] = {}
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool | None = None
    limits: Limits = Limits()

    type: Type = "simple"
    notify_fd: int | None = None
    notify_access: NotifyAccess = "main"
    requires: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    startup: Startup = "enabled"

    restart: Restart = "no"
    success_exit_codes: tuple[int, ...] = ()
    backoff: Backoff = Backoff()
    on_failure: OnFailure = "record"
    on_success: OnSuccess = "ignore"
    essential: bool = False

    start_timeout: float | None = None
    stop_signal: int = SIGTERM
    stop_timeout: float = 10.0
    stop_command: tuple[str, ...] = ()
    kill_mode: KillMode = "cgroup"
    extend_limit: float = 600.0
    watchdog: float = 0.0

    checks: dict[str, Check] = {}
    sockets: tuple[SocketSpec, ...] = ()
    log: LogOptions = LogOptions()

    @property
    def time_to_start(self) -> float:
        """Seconds until readiness is given up, 0 for no bound."""
        if self.start_timeout is not None:
            return self.start_timeout
        return 90.0 if self.type == "notify" else 0.0

    def succeeded(self, status: int) -> bool:
        """Whether the exit `status` (128 + n for signal n) counts as a success."""
        return status == 0 or status in self.success_exit_codes

    def privileges(self, container: Privileges) -> Privileges:
        """What the service may do in a container that grants `container`. Raises UsageError."""
        changed = change_capabilities(container, self.cap_add, self.cap_drop)
        changed = change_rlimits(changed, rlimits_of(self.rlimits))
        chosen = self.no_new_privileges
        grants_more = container.no_new_privs if chosen is None else chosen
        return msgspec.structs.replace(changed, no_new_privs=grants_more, umask=self.umask)

    @property
    def ends_container_on_failure(self) -> bool:
        return self.essential or self.on_failure == "shutdown"

    @property
    def ends_container_on_success(self) -> bool:
        return self.essential or self.on_success == "shutdown"


Services = dict[str, ServiceSpec]
"""Services by name, in the order of the file."""


def encode_services(services: Services) -> bytes:
    """The services as JSON, for a PID 1 that reads no TOML."""
    return msgspec.json.encode(services)


def decode_services(data: bytes) -> Services:
    """What `encode_services` wrote. Raises msgspec.ValidationError on anything else."""
    return msgspec.json.decode(data, type=Services)
