"""Making a container's groups, putting PID 1 and the payload there, and limiting them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence

from pyinit.errors import SystemFault, Unsupported
from pyinit.linux.cgroups import Group, PayloadGroups, read_at, write_at
from pyinit.spec.limits import Limits, Setting, settings

from . import layout, tree
from .discovery import Hierarchy, discover
from .removal import remove
from .tree import Tree

_COUNTED = frozenset({"cpu", "memory", "pids", "io"})
"""v2 controllers that are wanted for stats, whether something is limited or not."""


class ContainerCgroup:
    """The groups of one container, open. `paths` is all that `remove` and `reopen` need."""

    def __init__(self, name: str, trees: Sequence[Tree]) -> None:
        self.name = name
        self._trees = trees
        self._tracking = _tracking(trees)

    @property
    def paths(self) -> list[str]:
        """The container's own group in each hierarchy, for its state file."""
        return [one.path for one in self._trees]

    @property
    def clone_into(self) -> int | None:
        """The leaf for clone3(CLONE_INTO_CGROUP) to start PID 1 in; None without cgroup2."""
        unified = self._tracking.hierarchy.unified
        return self._tracking.init.descriptor if unified else None

    def attach_init(self, pid: int, *, cloned: bool = False) -> None:
        """Put PID 1 in its leaf of each hierarchy; `cloned`: clone3 did so for cgroup2.

        Raises SystemFault.
        """
        for one in self._trees:
            if cloned and one.hierarchy.unified:
                continue
            try:
                one.init.attach(pid)
            except OSError as error:
                raise SystemFault(f"put process {pid} in cgroup {one.path}/init", error) from None

    def payload(self) -> PayloadGroups:
        """The descriptors for PID 1; they are this object's own and close with it."""
        found: dict[str, Group] = {}
        for one in self._trees:
            found |= dict.fromkeys(one.hierarchy.controllers, one.payload)
        if self._unified():
            found = dict.fromkeys(self._available(), self._tracking.payload)
        return PayloadGroups(self._tracking.payload, found)

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

    def close(self) -> None:
        """Close the descriptors; the groups stay."""
        for one in self._trees:
            one.close()

    def _unified(self) -> bool:
        return all(one.hierarchy.unified for one in self._trees)

    def _available(self) -> frozenset[str]:
        if self._unified():
            names = read_at(self._tracking.payload.descriptor, "cgroup.controllers")
            return frozenset(names.split())
        return frozenset().union(*(one.hierarchy.controllers for one in self._trees))

    def _require(self, limits: Limits) -> None:
        needed = limits.controllers()
        refusal = tree.enable(self._tracking, needed | _COUNTED) if self._unified() else None
        if missing := needed - self._available():
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
    """Where leaves are made: cgroup2 where it is, else the freezer, else what there is."""
    return max(
        trees, key=lambda one: (one.hierarchy.unified, "freezer" in one.hierarchy.controllers)
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
            trees.append(tree.make(hierarchy, base, name))
            making.callback(remove, name, [trees[-1].path])
            making.callback(trees[-1].close)
        made = ContainerCgroup(name, trees)
        made.apply(limits or Limits())
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
    if any(one.unified for one, _ in usable):  # cgroup2 freezes by itself
        usable = [(one, base) for one, base in usable if one.controllers != {"freezer"}]
    return usable
