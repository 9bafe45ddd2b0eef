"""Kernel parameters of the container's own namespaces, written before the root changes."""

from __future__ import annotations

from collections.abc import Iterable

from pyinit.errors import SystemFault, UsageError

# Those that belong to a namespace (namespaces(7), and the OCI runtimes' own list).
_IPC = (
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
)
_PREFIXES = ("net.", "fs.mqueue.")


def check_sysctl(name: str) -> None:
    """Raise UsageError for a parameter that would change the whole machine."""
    plain = name.replace("/", ".")
    if ".." in plain or not (plain in _IPC or plain.startswith(_PREFIXES)):
        raise UsageError(
            f"sysctl {name!r} is not of a namespace: net.*, fs.mqueue.* and the kernel.* of IPC are"
        )


def check_sysctls(names: Iterable[str], *, own_network: bool, own_ipc: bool) -> None:
    """Raise UsageError for a parameter that others would have as well."""
    for name in names:
        check_sysctl(name)
        of_network = name.replace("/", ".").startswith("net.")
        if not (own_network if of_network else own_ipc):
            kind = "network" if of_network else "IPC"
            raise UsageError(
                f"sysctl {name!r}: the container shares its {kind} namespace: leave one of them out"
            )


def write_sysctls(values: dict[str, str]) -> None:
    """Write each to /proc/sys of the namespaces this process is in. Raises SystemFault."""
    for name, value in values.items():
        check_sysctl(name)
        path = "/proc/sys/" + name.replace(".", "/")
        try:
            with open(path, "w") as file:
                file.write(value)
        except OSError as error:
            raise SystemFault(f"set sysctl {name} to {value!r}", error) from error
