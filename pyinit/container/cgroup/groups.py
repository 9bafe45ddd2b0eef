"""Making a container's groups, putting PID 1 and the payload there, and limiting them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence

from pyinit.errors import SystemFault, Unsupported
from pyinit.linux.cgroups import Group, PayloadGroups, read_at, write_at
from pyinit.spec.limits import Limits, Setting, settings

from . import layout, tree
from .discovery import Hierarchy, discover
from .removal import remove, remove_stale
from .tree import Tree

_COUNTED = frozenset({"cpu", "memory", "pids", "io"})
"""v2 controllers that are wanted for stats, whether something is limited or not."""


class ContainerCgroup:
    """The groups of one container, open. `paths` is all that `remove` and `reopen` need."""

    def __init__(self, name: str, trees: Sequence[Tree], limits: Limits | None = None) -> None:
        self.name = name
        self._trees = trees
        self._tracking = _tracking(trees)
        self._limits = limits or Limits()

    @property
    def paths(self) -> list[str]:
        """The container's own group in each hierarchy, for its state file."""
        return [one.path for one in self._trees]

    def enter(self, make_namespace: Callable[[], None]) -> None:
        """Move the calling process, which has no other thread, into the `init` leaf.

        On the way there it is in the container's own group, where `make_namespace` is called
        to make (or join) the cgroup namespace. Call it where cgroupfs is still to be seen; of
        the descriptors only the payload's stay open. Raises Unsupported, SystemFault.

        That namespace must hold both leaves, or clone3 into the payload fails with ENOENT
        where cgroup2 is mounted with nsdelegate. So only after PID 1 went through its group
        can v2 hand controllers down, for a group that does so holds no process.
        """
        try:
            for one in self._trees:
                one.top.enter()
            make_namespace()
            for one in self._trees:
                one.init.enter()
        except OSError as error:
            raise SystemFault(f"enter the cgroups of {self.name}", error) from None
        self._enforce()
        for one in self._trees:
            one.top.close()
            one.init.close()

    def attach_init(self, pid: int) -> None:
        """Put the process `pid` in the `init` leaf from outside. Raises Unsupported, SystemFault.

        Costs milliseconds on an idle machine, `enter` on v1 a tenth of one.
        """
        try:
            for one in self._trees:
                one.init.attach(pid)
        except OSError as error:
            raise SystemFault(f"put process {pid} in the cgroups of {self.name}", error) from None
        self._enforce()

    def attach_top(self, pid: int) -> None:
        """Put the process `pid` in the container's own group, where its namespace may begin.

        `attach_init` comes after. Raises SystemFault.
        """
        try:
            for one in self._trees:
                one.top.attach(pid)
        except OSError as error:
            raise SystemFault(f"put process {pid} in the cgroups of {self.name}", error) from None

    def delegate(self, uid: int, gid: int) -> None:
        """Let a user namespace's root, who is `uid` here, make leaves and move processes.

        Only the files that the kernel names for that (/sys/kernel/cgroup/delegate), and the
        freezer's of the payload: limits stay root's. Raises SystemFault.
        """
        try:
            for one in self._trees:
                for group in (one.top, one.init, one.payload):
                    tree.give(group, uid, gid, freezing=group is one.payload)
        except OSError as error:
            raise SystemFault(f"delegate the cgroups of {self.name}", error) from None

    def check(self) -> None:
        """Raise Unsupported when the limits need what can't be had here.

        On v1 they are in force from then on, on v2 once PID 1 is in its leaf.
        """
        refusal = None
        if self._unified():
            above = os.path.dirname(self._tracking.path)
            wanted = self._limits.controllers() | _COUNTED
            refusal = tree.enable(self._tracking.hierarchy.mountpoint, above, wanted)
        if missing := self._limits.controllers() - self._available(self._tracking.top):
            raise Unsupported(_missing(missing, refusal))
        if not self._unified():
            self._enforce()

    def _enforce(self) -> None:
        limits, self._limits = self._limits, Limits()
        self.apply(limits)

    def payload(self) -> PayloadGroups:
        """The descriptors for PID 1; they are this object's own and close with it."""
        found: dict[str, Group] = {}
        for one in self._trees:
            found |= dict.fromkeys(one.hierarchy.controllers, one.payload)
        if self._unified():
            found = dict.fromkeys(self._handed(), self._tracking.payload)
        return PayloadGroups(self._tracking.payload, found)

    def _handed(self) -> frozenset[str]:
        """The controllers that the payload has, or will have: v2 hands them down once PID 1 is
        in its leaf, and has closed the group above by then."""
        if self._tracking.top.descriptor < 0:
            return self._available(self._tracking.payload)
        return self._available(self._tracking.top) & (self._limits.controllers() | _COUNTED)

    def apply(self, limits: Limits) -> None:
        """Put limits in force, also while the container runs; all of them, or none.

        Raises Unsupported for a controller that can't be had here, SystemFault when the
        kernel refuses a value: EBUSY for memory that is in use already (v1).
        """
        self._require(limits)
        with contextlib.ExitStack() as undo:
            for setting in settings(limits, unified=self._unified()):
                self._write(setting, undo)
            undo.pop_all()

    def descriptors(self) -> list[int]:
        """Every descriptor that `enter` needs, and those of `payload`."""
        return [
            group.descriptor for one in self._trees for group in (one.top, one.init, one.payload)
        ]

    def close(self) -> None:
        """Close the descriptors; the groups stay."""
        for one in self._trees:
            one.close()

    def _unified(self) -> bool:
        return all(one.hierarchy.unified for one in self._trees)

    def _available(self, group: Group) -> frozenset[str]:
        if self._unified():
            return frozenset(read_at(group.descriptor, "cgroup.controllers").split())
        return frozenset().union(*(one.hierarchy.controllers for one in self._trees))

    def _require(self, limits: Limits) -> None:
        needed, refusal = limits.controllers(), None
        if self._unified():
            mountpoint = self._tracking.hierarchy.mountpoint
            refusal = tree.enable(mountpoint, self._tracking.path, needed | _COUNTED)
        if missing := needed - self._available(self._tracking.payload):
            raise Unsupported(_missing(missing, refusal))

    def _write(self, setting: Setting, undo: contextlib.ExitStack) -> None:
        one = next(
            one
            for one in self._trees
            if self._unified() or setting.controller in one.hierarchy.controllers
        )
        folder = (one.top if setting.whole else one.payload).descriptor
        try:
            before = read_at(folder, setting.file).strip()
            write_at(folder, setting.file, setting.text)
        except FileNotFoundError:
            if setting.optional:
                return
            raise Unsupported(f"this kernel has no {setting.file}: leave that limit out") from None
        except OSError as error:
            raise SystemFault(f"write {setting.text} to {setting.file}", error) from None
        if before and "\n" not in before:
            undo.callback(_restore, folder, setting.file, before)


def _restore(folder: int, file: str, text: str) -> None:
    with contextlib.suppress(OSError):  # the failure that led here is what is to be told
        write_at(folder, file, text)


def _missing(controllers: Iterable[str], refusal: OSError | None) -> str:
    names = ", ".join(sorted(controllers))
    why = f"{refusal.filename}: {refusal.strerror}" if refusal else "not enabled for your cgroup"
    return f"no cgroup controller for {names} ({why}): use --cgroup-parent, or leave the limit out"


def _tracking(trees: Sequence[Tree]) -> Tree:
    """Where leaves are made: the freezer's hierarchy, else cgroup2, else what there is.

    On a hybrid machine both could be. A thread puts itself into a freezer leaf in 0.1 ms
    and posix_spawn's child starts there; into cgroup2 leads clone3 with a whole fork, or
    a write that costs 8 ms on an idle machine.
    """
    return max(
        trees, key=lambda one: ("freezer" in one.hierarchy.controllers, one.hierarchy.unified)
    )


def create(
    stack: contextlib.ExitStack,
    name: str,
    parent: str | None = None,
    limits: Limits | None = None,
    hierarchies: Sequence[Hierarchy] | None = None,
) -> ContainerCgroup:
    """Make the groups of the container `name`, limited; `stack` takes them back.

    `parent` is --cgroup-parent. `hierarchies` stands in for what `discover` finds. Raises
    Unsupported (with the way round), InUse, UsageError or SystemFault, with nothing left.
    """
    found = discover() if hierarchies is None else hierarchies
    superuser = os.geteuid() == 0
    with contextlib.ExitStack() as making:
        trees: list[Tree] = []
        for hierarchy, base in _places(found, parent, superuser=superuser):
            remove_stale(name, layout.container(base, name))
            trees.append(tree.make(hierarchy, base, name))
            making.callback(remove, name, [trees[-1].path])
            making.callback(trees[-1].close)
        made = ContainerCgroup(name, trees, limits)
        made.check()
        making.pop_all()
    stack.callback(remove, name, made.paths)
    stack.callback(made.close)
    return made


def create_if_possible(
    stack: contextlib.ExitStack,
    name: str,
    parent: str | None = None,
    limits: Limits | None = None,
) -> ContainerCgroup | None:
    """As `create`, but None where there can be no cgroup and the user asked for nothing of it."""
    try:
        return create(stack, name, parent, limits)
    except Unsupported:
        if parent is not None or (limits is not None and limits.any()):
            raise
        return None


def reopen(name: str, paths: Sequence[str]) -> ContainerCgroup:
    """The groups of a running container again, by the paths in its state, to `apply` limits.

    Raises OSError.
    """
    trees = []
    for path in paths:
        hierarchy = next(one for one in discover() if path.startswith(one.mountpoint + "/"))
        trees.append(tree.reopen(hierarchy, path))
    return ContainerCgroup(name, trees)


def _places(
    hierarchies: Sequence[Hierarchy], parent: str | None, *, superuser: bool
) -> list[tuple[Hierarchy, str]]:
    """The hierarchies to use, each with the group to start from. Raises Unsupported."""
    if not hierarchies:
        raise Unsupported("no cgroup hierarchy is mounted here: run without limits")
    bases = [(one, layout.base(one, parent, superuser=superuser)) for one in hierarchies]
    usable = [(one, base) for one, base in bases if parent or os.access(base, os.W_OK)]
    if not usable:
        why = "mounted read-only" if superuser else "not delegated to you"
        way = "name a group that you own with --cgroup-parent, or run without limits"
        raise Unsupported(f"cgroup {bases[0][1]} is {why}: {way}")
    if any("freezer" in one.controllers for one, _ in usable):
        usable = [(one, base) for one, base in usable if not one.unified]
    return usable
