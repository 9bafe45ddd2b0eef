"""The supervisor's commands as children of PID 1: users, privileges, cgroups, descriptors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio
from msgspec.structs import replace

from pyinit.init.census import CensusTaker
from pyinit.init.command import Command, Environment
from pyinit.init.config import InitConfig
from pyinit.init.leaves import Leaves
from pyinit.init.ports import Launch
from pyinit.init.processes import ProcessTable
from pyinit.init.reaper import Child, Reaper
from pyinit.init.service_limits import ServiceLimits
from pyinit.init.service_process import ServiceProcess, SessionTree
from pyinit.init.spawn import Spawner
from pyinit.init.users import UserDatabase, login_environment
from pyinit.spec.privileges import Privileges

Outputs = Callable[[Launch], tuple[int, int]]
"""Gives the descriptors of a command's stdout and stderr, which are closed once it has them."""


class ServiceProcesses:
    """Starts the commands of services. `outputs` says where what they write goes."""

    def __init__(
        self,
        config: InitConfig,
        reaper: Reaper,
        spawner: Spawner,
        users: UserDatabase,
        table: ProcessTable,
        leaves: Leaves | None,
        devnull: int,
        outputs: Outputs,
    ) -> None:
        self._config = config
        self._reaper = reaper
        self._spawner = spawner
        self._users = users
        self._taker = CensusTaker(table)
        self._leaves = leaves
        self._devnull = devnull
        self._outputs = outputs
        self._limits = ServiceLimits(config.groups, leaves)

    async def spawn(self, launch: Launch) -> ServiceProcess:
        """Start it. Raises PyinitError, whose `status` (126, 127) tells why, or OSError."""
        child = Child()
        with self._command(launch) as command:
            self._spawner.begin(command, child)
            with trio.CancelScope(shield=True):
                await child.started()
        tree = SessionTree(child, self._taker)
        if launch.role != "main":
            # It has nothing to leave behind, and nobody waits for that to go.
            self._release_in_the_end(child)
            return ServiceProcess(child, tree, "cgroup", self._reaper, lambda: None)
        mode = launch.spec.kill_mode
        return ServiceProcess(child, tree, mode, self._reaper, lambda: self._release(child))

    @contextmanager
    def _command(self, launch: Launch) -> Iterator[Command]:
        spec, config = launch.spec, self._config
        user = self._users.lookup(_user_and_group(launch, config.user or ""))
        privileges = privileges_of(launch, config)
        leaf, places = self._limits.place(launch.service, spec.limits)
        stdout, stderr = self._outputs(launch)
        try:
            yield Command(
                argv=launch.argv,
                environment=Environment(
                    login_environment(user) | config.environment | launch.environment
                ),
                workdir=spec.cwd,
                user=user,
                stdio=(self._devnull, stdout, stderr),
                privileges=privileges,
                umask=spec.umask,
                descriptors=launch.descriptors,
                listen_pid=launch.listen_pid,
                leaf=leaf,
                places=places,
            )
        except BaseException:
            if leaf is not None and self._leaves is not None:
                self._leaves.release(leaf)
            raise
        finally:
            for descriptor in {stdout, stderr} - {self._devnull}:
                os.close(descriptor)

    def _release_in_the_end(self, child: Child) -> None:
        if child.status is None:
            child.call_when_over(lambda: self._release(child))
        else:
            self._release(child)

    def _release(self, child: Child) -> None:
        if self._leaves is not None and child.leaf is not None:
            self._leaves.release(child.leaf)


def _user_and_group(launch: Launch, default: str) -> str:
    """`user[:group]` of the service; a group alone goes with the container's user."""
    user, group = launch.spec.user or default, launch.spec.group
    return f"{user.partition(':')[0]}:{group}" if group else user


def privileges_of(launch: Launch, config: InitConfig) -> Privileges | None:
    """What the service may do, None where that is what all of the container may."""
    own = launch.spec.privileges(config.privileges)
    # The umask goes with the command: it takes no child of its own.
    same = replace(own, umask=config.privileges.umask) == config.privileges
    return None if same else own
