"""What a service may use at most: a cgroup of its own, made and written before its command.

On v2 that is its leaf. On v1 it is a group in the hierarchy of each controller that limits
something, beside the leaf in the freezer's.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from pyinit.errors import SystemFault, Unsupported
from pyinit.init.leaf import Leaf
from pyinit.init.leaves import Leaves
from pyinit.linux.cgroups import (
    Group,
    LegacyGroup,
    PayloadGroups,
    UnifiedGroup,
    has_file,
    read_at,
    write_at,
)
from pyinit.spec.limits import Limits, Setting, settings

_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")


class ServiceLimits:
    """The groups of services with limits. They stay until the container ends."""

    def __init__(self, groups: PayloadGroups | None, leaves: Leaves | None) -> None:
        self._groups = groups
        self._leaves = leaves
        self._numbers = itertools.count(1)
        self._places: dict[tuple[str, int], LegacyGroup] = {}

    def place(self, service: str, limits: Limits) -> tuple[Leaf | None, tuple[LegacyGroup, ...]]:
        """A leaf and v1 groups for a run of the service; nothing where it has no limits.

        Raises Unsupported where a limit can't be had, SystemFault where it is refused.
        """
        if not limits.any():
            return None, ()
        if self._groups is None or self._leaves is None:
            raise Unsupported(f"the limits of {service} need cgroups, and the container has none")
        name = f"svc-{service}-{next(self._numbers)}"
        try:
            leaf = self._leaves.make(name)
        except OSError as error:
            raise SystemFault(f"make the cgroup of {service}", error) from None
        try:
            return leaf, self._limit(service, leaf, limits, self._groups.controllers)
        except BaseException:
            self._leaves.release(leaf)
            raise

    def _limit(
        self, service: str, leaf: Leaf, limits: Limits, controllers: Mapping[str, Group]
    ) -> tuple[LegacyGroup, ...]:
        places: dict[LegacyGroup, None] = {}
        for controller in sorted(limits.controllers()):
            parent = controllers.get(controller)
            if parent is None:
                raise Unsupported(
                    f"the limits of {service} need the cgroup controller {controller!r}, "
                    "which the container has not"
                )
            unified = isinstance(parent, UnifiedGroup)
            wanted = [
                each for each in settings(limits, unified=unified) if each.controller == controller
            ]
            try:
                if isinstance(parent, LegacyGroup):
                    group: Group = self._place(service, parent, controller)
                    assert isinstance(group, LegacyGroup)
                    places[group] = None
                else:
                    group = _enabled(parent, controller, leaf)
                _write(group, wanted)
            except OSError as error:
                raise SystemFault(f"limit {service} ({controller})", error) from None
        return tuple(places)

    def _place(self, service: str, parent: LegacyGroup, controller: str) -> LegacyGroup:
        key = (service, parent.descriptor)
        if key not in self._places:
            group = parent.make_child(f"svc-{service}")
            if controller == "cpuset":
                # A new cpuset has no CPU and no memory node (cpusets.rst).
                for file in _CPUSET_FILES:
                    write_at(group.descriptor, file, read_at(parent.descriptor, file).strip())
            self._places[key] = group
        return self._places[key]


def _enabled(parent: Group, controller: str, leaf: Leaf) -> Group:
    assert isinstance(parent, UnifiedGroup)
    if controller not in read_at(parent.descriptor, "cgroup.subtree_control").split():
        parent.enable(controller)
    return leaf.group


def _write(group: Group, wanted: list[Setting]) -> None:
    for setting in wanted:
        if setting.optional and not has_file(group.descriptor, setting.file):
            continue
        write_at(group.descriptor, setting.file, setting.text)
