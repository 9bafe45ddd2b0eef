"""Which namespaces a container makes, shares or joins."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field

from pyinit.container import folder, state
from pyinit.errors import NotFound, SystemFault, UsageError
from pyinit.linux.namespaces import CLONE_NEWPID, FLAGS, setns, unshare
from pyinit.spec.container import ContainerSpec
from pyinit.spec.network import ContainerNetwork, HostNetwork, Network, PathNetwork

KINDS = ("pid", "mnt", "uts", "ipc", "net", "cgroup")


@dataclass(slots=True)
class Namespaces:
    """Kinds to make anew, and descriptors of those to join, by kind."""

    made: set[str] = field(default_factory=set)
    joined: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: ContainerSpec, stack: ExitStack) -> Namespaces:
        """What a spec asks for; the descriptors close with `stack`.

        Raises NotFound, UsageError, SystemFault.
        """
        wanted = cls()
        sources = dict.fromkeys(KINDS, "private") | spec.namespaces
        sources["net"] = _network_source(spec.network)
        for kind, source in sources.items():
            if source == "private":
                wanted.made.add(kind)
            elif source != "host":
                wanted.joined[kind] = _open(kind, source, stack)
        return wanted

    def owns(self, kind: str) -> bool:
        """Whether the container has a namespace of this kind to itself."""
        return kind in self.made

    def enter(self) -> None:
        """For the calling thread: join and leave, so that a fork is PID 1 of the container.

        The cgroup namespace is left to `enter_cgroup`: its root is where the process is then.
        """
        for kind, descriptor in self.joined.items():
            if kind != "cgroup":
                self._do(f"join the {kind} namespace", setns, descriptor, FLAGS[kind])
        flags = sum(FLAGS[kind] for kind in self.made if kind != "cgroup")
        self._do("make the namespaces", unshare, flags)

    def enter_cgroup(self) -> None:
        """The cgroup namespace, once the process is in its cgroup."""
        if "cgroup" in self.made:
            self._do("make the cgroup namespace", unshare, FLAGS["cgroup"])
        elif "cgroup" in self.joined:
            self._do("join the cgroup namespace", setns, self.joined["cgroup"], FLAGS["cgroup"])

    @property
    def has_own_pids(self) -> bool:
        """Whether the container's first process is PID 1 of a namespace."""
        return bool(sum(FLAGS[kind] for kind in self.made) & CLONE_NEWPID)

    @staticmethod
    def _do(doing: str, call: object, *arguments: int) -> None:
        try:
            call(*arguments)  # type: ignore[operator]
        except OSError as error:
            raise SystemFault(doing, error) from error


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
    return descriptor


def _path_of(kind: str, source: str) -> str:
    scheme, _, name = source.partition(":")
    if scheme != "container":
        return source
    found = state.load(folder.run_directory() / name)
    if found is None or not found.is_alive():
        raise NotFound(f"no running container {name!r} whose {kind} namespace could be joined")
    return f"/proc/{found.pid}/ns/{kind}"
