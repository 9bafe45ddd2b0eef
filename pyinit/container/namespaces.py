"""Which namespaces a container makes, shares or joins."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, suppress
from pathlib import Path

from msgspec import Struct

from pyinit.container import folder, pins, state, userns
from pyinit.container.plan import Surroundings
from pyinit.errors import NotFound, SystemFault, Unsupported, UsageError
from pyinit.linux import credentials
from pyinit.linux.namespaces import FLAGS, setns, unshare
from pyinit.linux.prctl import set_dumpable
from pyinit.spec.container import ContainerSpec
from pyinit.spec.idmap import IdMap
from pyinit.spec.network import ContainerNetwork, HostNetwork, Network, PathNetwork

KINDS = ("pid", "mnt", "uts", "ipc", "net", "cgroup", "time")
# These two go by steps of their own.
_SEPARATE = ("user", "cgroup")
TTY_GROUP = 5


class Namespaces(Struct):
    """Kinds to make anew, and descriptors of those to join, by kind.

    `id_map` is that of a user namespace to be made. With `mounts_later` the mount namespace
    is left to `enter_mounts`, which whoever is PID 1 then calls.
    """

    made: set[str] = set()
    joined: dict[str, int] = {}
    id_map: IdMap | None = None
    time_offsets: dict[str, int] = {}
    mounts_later: bool = False

    @classmethod
    def of(cls, spec: ContainerSpec, stack: ExitStack, undo: ExitStack) -> Namespaces:
        """What a spec asks for; descriptors close with `stack`, leases go back with `undo`.

        Raises NotFound, UsageError, Unsupported, SystemFault.
        """
        wanted = cls(id_map=userns.choose_map(spec, undo), time_offsets=spec.time_offsets)
        if wanted.id_map is not None:
            wanted.made.add("user")
        for kind, source in sources_of(spec).items():
            if source == "private":
                wanted.made.add(kind)
            elif source != "host":
                opened = _open(kind, source, stack)
                # Nobody can join the user namespace that he is in already (setns(2)).
                if kind != "user" or not _is_ours(opened):
                    wanted.joined[kind] = opened
        return wanted

    @classmethod
    def preview(cls, spec: ContainerSpec) -> Namespaces:
        """As `of`, with nothing opened or leased: only to look at. Raises as it does."""
        wanted = cls(id_map=userns.choose_map(spec, None), time_offsets=spec.time_offsets)
        if wanted.id_map is not None:
            wanted.made.add("user")
        for kind, source in sources_of(spec).items():
            if source == "private":
                wanted.made.add(kind)
            elif source != "host":
                wanted.joined[kind] = -1
        return wanted

    def owns(self, kind: str) -> bool:
        """Whether the container has a namespace of this kind to itself."""
        return kind in self.made

    @property
    def has_user(self) -> bool:
        """Whether it is root of a user namespace only."""
        return "user" in self.made or "user" in self.joined

    @property
    def needs_process(self) -> bool:
        """Whether a thread can't leave them: user namespaces want a process of one thread,
        a time namespace that is joined do, and the clocks' offsets belong to a process."""
        return self.has_user or "time" in self.joined or bool(self.time_offsets)

    def surroundings(self) -> Surroundings:
        """What of them the mount plan depends on."""
        if not self.has_user:
            shared = not (self.owns("net") or "net" in self.joined)
            return Surroundings(own_network=not shared)
        return Surroundings(
            own_pids=self.owns("pid"),
            own_network=self.owns("net"),
            own_ipc=self.owns("ipc"),
            tty_group=self.id_map is not None and self.id_map.has_group(TTY_GROUP),
        )

    def enter(self) -> None:
        """For the calling thread: join and leave, so that a fork is PID 1 of the container.

        The cgroup namespace is left to `enter_cgroup`: its root is where the process is then.
        """
        self._join()
        self._make()

    def enter_user(self, made: object = None) -> None:
        """For a process of one thread: into the user namespace and all others, as its root.

        `made` is called once there is a new one, and returns when it has its map.
        """
        if os.geteuid() == 0:
            self._join()  # as root of the host, to whom all of them belong
            self._change_user(made)
        else:
            self._change_user(made)
            self._join()
        self._make()
        self._set_clocks()

    def _join(self) -> None:
        for kind, descriptor in self.joined.items():
            if kind not in _SEPARATE:
                self._join_one(kind, descriptor)

    def _join_one(self, kind: str, descriptor: int) -> None:
        try:
            setns(descriptor, FLAGS[kind])
        except PermissionError as error:
            if not self.has_user:
                raise SystemFault(f"join the {kind} namespace", error) from error
            raise Unsupported(
                f"the {kind} namespace belongs to another user namespace: join that too, with"
                " --userns container:NAME"
            ) from None
        except OSError as error:
            raise SystemFault(f"join the {kind} namespace", error) from error

    def _make(self) -> None:
        later = {*_SEPARATE, "mnt"} if self.mounts_later else _SEPARATE
        flags = sum(FLAGS[kind] for kind in self.made if kind not in later)
        self._do("make the namespaces", unshare, flags)

    def enter_mounts(self) -> None:
        """For the calling thread: into the mount namespace, where that was left for later."""
        if self.mounts_later:
            self._do("make the mount namespace", unshare, FLAGS["mnt"])

    def _change_user(self, made: object) -> None:
        if "user" in self.joined:
            self._do("join the user namespace", setns, self.joined["user"], FLAGS["user"])
        elif "user" in self.made:
            try:
                unshare(FLAGS["user"])
            except OSError as error:
                raise userns.refusal("make the user namespace", error) from error
            made()  # type: ignore[operator]
        else:
            return
        self._do("become root of the user namespace", _become_root)

    def _set_clocks(self) -> None:
        if not self.time_offsets:
            return
        text = "".join(f"{clock} {offset} 0\n" for clock, offset in self.time_offsets.items())
        set_dumpable(True)  # or the file is not ours
        try:
            Path("/proc/self/timens_offsets").write_text(text)
        except OSError as error:
            if error.errno == errno.ERANGE:
                raise UsageError("a time offset leads before the boot: choose another") from None
            raise SystemFault("set the offsets of the clocks", error) from error
        finally:
            set_dumpable(False)

    def enter_cgroup(self) -> None:
        """The cgroup namespace, once the process is in its cgroup."""
        if "cgroup" in self.made:
            self._do("make the cgroup namespace", unshare, FLAGS["cgroup"])
        elif "cgroup" in self.joined:
            self._do("join the cgroup namespace", setns, self.joined["cgroup"], FLAGS["cgroup"])

    @staticmethod
    def _do(doing: str, call: object, *arguments: int) -> None:
        try:
            call(*arguments)  # type: ignore[operator]
        except OSError as error:
            raise SystemFault(doing, error) from error


def sources_of(spec: ContainerSpec) -> dict[str, str]:
    """Where each kind of namespace comes from: private, host, container:NAME or a path.

    The user namespace is in it only where one is joined.
    """
    found = dict.fromkeys(KINDS, "private") | {"time": "private" if spec.time_offsets else "host"}
    found |= {kind: source for kind, source in spec.namespaces.items() if kind != "user"}
    found["net"] = _network_source(spec.network)
    user = userns.source_of(spec)
    if user.startswith(("container:", "/")):
        found["user"] = user
    return found


def _become_root() -> None:
    credentials.set_group_ids(0, 0, 0)
    with suppress(PermissionError):
        # A map of one id comes with setgroups on "deny" (user_namespaces(7)).
        credentials.set_groups(())
    credentials.set_user_ids(0, 0, 0)


def _network_source(network: Network) -> str:
    match network:
        case HostNetwork():
            return "host"
        case ContainerNetwork():
            return f"container:{network.name}"
        case PathNetwork():
            return network.path
    return "private"


def _open(kind: str, source: str, stack: ExitStack) -> int:
    path = _path_of(kind, source)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{kind} namespace {source}: {error.strerror}") from None
    stack.callback(os.close, descriptor)
    if not pins.is_namespace(descriptor):
        raise UsageError(f"{kind} namespace {source}: that file is no namespace")
    return descriptor


def _is_ours(descriptor: int) -> bool:
    return os.path.samestat(os.fstat(descriptor), os.stat("/proc/self/ns/user"))


def _path_of(kind: str, source: str) -> str:
    scheme, _, name = source.partition(":")
    if scheme != "container":
        return source
    place = folder.run_directory() / name
    found = state.load(place)
    if found is not None and found.is_alive():
        return f"/proc/{found.pid}/ns/{kind}"
    if kind in pins.pinned(place):
        return str(pins.path(place, kind))
    raise NotFound(
        f"no running container {name!r} whose {kind} namespace could be joined, and none pinned"
    )
