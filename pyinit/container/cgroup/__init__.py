"""A container's cgroups: found, made, limited and removed from the host side.

Below the container's own group lie `init`, where PID 1 is, and `payload`, where all it
starts is, each command and service in a leaf of its own. Caps (memory, CPU, pids, io) are on
`payload`: what the payload does, be it running out of memory, can't touch PID 1, nor is
PID 1's own memory taken from what the user gave the workload. Weights are on the
container's group, since they count against other containers. Freezing and killing are
for `payload` and its leaves alone.
"""

from .groups import ContainerCgroup, create, create_if_possible, reopen
from .removal import is_populated, leftovers, remove, remove_all_stale

__all__ = [
    "ContainerCgroup",
    "create",
    "create_if_possible",
    "is_populated",
    "leftovers",
    "remove",
    "remove_all_stale",
    "reopen",
]
