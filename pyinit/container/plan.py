"""The mounts of a container as data: made without touching anything, then carried out.

Order matters: each step may stand on what an earlier one made. Targets are paths inside
the new root; `mounts` opens them there, so that no link of the rootfs leads outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from pyinit.linux.mount import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
)
from pyinit.spec.container import ContainerSpec, HostDevice, Tmpfs, Volume

ATTRIBUTE_NAMES = {
    MOUNT_ATTR_RDONLY: "ro",
    MOUNT_ATTR_NOSUID: "nosuid",
    MOUNT_ATTR_NODEV: "nodev",
    MOUNT_ATTR_NOEXEC: "noexec",
}
SAFE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}

# In the container's folder, to be seen under /etc.
NETWORK_FILES = ("hosts", "hostname", "resolv.conf")

# The OCI runtime specification's defaults, as podman and Docker set them.
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class NewMount(Struct, frozen=True):
    """A new file system of a kind, such as proc or tmpfs, with its options."""

    target: str
    kind: str
    options: tuple[tuple[str, str | None], ...] = ()
    attributes: int = 0

    def describe(self) -> str:
        words = [key if value is None else f"{key}={value}" for key, value in self.options]
        return f"mount {self.kind} at {self.target}{_options(words, self.attributes)}"


class Bind(Struct, frozen=True):
    """A file or folder of the host seen in the container.

    `mapped` ones keep their owners where the container has a user namespace made by root.
    """

    source: str
    target: str
    attributes: int = 0
    recursive: bool = False
    mapped: bool = False

    def describe(self) -> str:
        word = "rbind" if self.recursive else "bind"
        return f"{word} {self.source} at {self.target}{_options([], self.attributes)}"


class Device(Struct, frozen=True):
    """A device node; where none may be made the host's is bound, its numbers checked first."""

    name: str
    major: int
    minor: int

    @property
    def target(self) -> str:
        return f"/dev/{self.name}"

    def describe(self) -> str:
        return f"device {self.major}:{self.minor} at {self.target}"


class Link(Struct, frozen=True):
    """A symbolic link."""

    target: str
    content: str

    def describe(self) -> str:
        return f"link {self.target} to {self.content}"


class Folder(Struct, frozen=True):
    """A folder in a file system that was just mounted."""

    target: str
    mode: int

    def describe(self) -> str:
        return f"folder {self.target} (mode={self.mode:04o})"


class Mask(Struct, frozen=True):
    """What the container is not to see: /dev/null over a file, an empty folder over a folder.

    Nothing where the path does not exist.
    """

    target: str

    def describe(self) -> str:
        return f"mask {self.target}"


class ReadOnly(Struct, frozen=True):
    """A path made read-only by a bind onto itself. Nothing where it does not exist."""

    target: str

    def describe(self) -> str:
        return f"read-only {self.target}"


class SealRoot(Struct, frozen=True):
    """The root itself made read-only, once every mount point in it is there."""

    target: str = "/"

    def describe(self) -> str:
        return "read-only /"


Step = NewMount | Bind | Device | Link | Folder | Mask | ReadOnly | SealRoot


def _options(words: list[str], attributes: int) -> str:
    words = words + [name for bit, name in ATTRIBUTE_NAMES.items() if attributes & bit]
    return f" ({','.join(words)})" if words else ""


def device_numbers(name: str) -> tuple[int, int]:
    """Major and minor of one of the DEVICES (Documentation/admin-guide/devices.txt)."""
    return {
        "null": (1, 3),
        "zero": (1, 5),
        "full": (1, 7),
        "random": (1, 8),
        "urandom": (1, 9),
        "tty": (5, 0),
    }[name]


def kernel_mounts(*, own_network: bool = True, own_pids: bool = True) -> list[Step]:
    """/proc and /sys: of a namespace that is not the container's own, the host's mounts.

    A sysfs shows a network namespace and a procfs a pid namespace: only their owners can
    mount them.
    """
    proc: Step = NewMount("/proc", "proc", (), SAFE)
    if not own_pids:
        proc = Bind("/proc", "/proc", SAFE, recursive=True)
    if own_network:
        return [proc, NewMount("/sys", "sysfs", (), SAFE | MOUNT_ATTR_RDONLY)]
    return [proc, Bind("/sys", "/sys", SAFE | MOUNT_ATTR_RDONLY, recursive=True)]


def device_mounts(*, tty_group: bool = True, own_ipc: bool = True) -> list[Step]:
    """A minimal /dev. Group 5 (tty) owns the terminals where that group is mapped.

    Message queues belong to the IPC namespace: whoever shares one sees the host's mount.
    """
    pts: tuple[tuple[str, str | None], ...] = (
        ("newinstance", None),
        ("ptmxmode", "0666"),
        ("mode", "0620"),
    )
    if tty_group:
        pts += (("gid", "5"),)
    steps: list[Step] = [
        NewMount(
            "/dev",
            "tmpfs",
            (("mode", "0755"), ("size", "64k")),
            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
        )
    ]
    steps += [Device(name, *device_numbers(name)) for name in DEVICES]
    steps += [Link(f"/dev/{name}", content) for name, content in DEVICE_LINKS.items()]
    steps += [
        NewMount("/dev/pts", "devpts", pts, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC),
        NewMount("/dev/shm", "tmpfs", (("mode", "1777"), ("size", "64m")), SAFE),  # noqa: S108
    ]
    if own_ipc:
        steps.append(NewMount("/dev/mqueue", "mqueue", (), SAFE))
    return steps


def scratch_mounts() -> list[Step]:
    """Fresh /run and /tmp; programs may be executed from both, as in an ordinary system."""
    attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
    return [
        NewMount("/run", "tmpfs", (("mode", "0755"),), attributes),
        # What /var/lock leads to; Debian's services expect it from whoever mounts /run.
        Folder("/run/lock", 0o1777),
        NewMount("/tmp", "tmpfs", (("mode", "1777"),), attributes),  # noqa: S108
    ]


def protections() -> list[Step]:
    """What the kernel shows of the whole machine, hidden or made read-only."""
    return [*(Mask(path) for path in MASKED), *(ReadOnly(path) for path in READ_ONLY)]


def host_devices(devices: Iterable[HostDevice]) -> list[Step]:
    """What `--device` asks for. Its own owner and mode say who inside may open it."""
    attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC
    return [Bind(each.source, each.target, attributes, mapped=True) for each in devices]


def volume_steps(volumes: Iterable[Volume], tmpfs: Iterable[Tmpfs]) -> list[Step]:
    """What `--tmpfs` and `-v` ask for; outer targets come before those below them."""
    steps: list[Step] = [_tmpfs_step(each) for each in tmpfs]
    steps += [
        Bind(
            each.source,
            each.target,
            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (MOUNT_ATTR_RDONLY if each.read_only else 0),
            recursive=True,
            mapped=True,
        )
        for each in volumes
    ]
    return sorted(steps, key=lambda step: step.target.rstrip("/").count("/"))


def _tmpfs_step(wanted: Tmpfs) -> NewMount:
    attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
    attributes |= MOUNT_ATTR_RDONLY if wanted.read_only else 0
    attributes |= 0 if wanted.executable else MOUNT_ATTR_NOEXEC
    options: tuple[tuple[str, str | None], ...] = (("mode", f"{wanted.mode:04o}"),)
    if wanted.size:
        options += (("size", str(wanted.size)),)
    return NewMount(wanted.target, "tmpfs", options, attributes)


class Surroundings(Struct, frozen=True):
    """What of the container's namespaces decides about its mounts.

    `own_…`: whether it may mount what shows them; `tty_group`: whether group 5 exists in it.
    """

    own_pids: bool = True
    own_network: bool = True
    own_ipc: bool = True
    tty_group: bool = True


def mount_plan(
    around: Surroundings,
    *,
    extra: list[Step] | None = None,
    privileged: bool = False,
    read_only: bool = False,
) -> list[Step]:
    """Everything that is mounted in the new root, in order."""
    steps = kernel_mounts(own_network=around.own_network, own_pids=around.own_pids)
    steps += device_mounts(tty_group=around.tty_group, own_ipc=around.own_ipc)
    steps += scratch_mounts()
    steps += extra or []
    steps += [] if privileged else protections()
    steps += [SealRoot()] if read_only else []
    return steps


def planned_mounts(spec: ContainerSpec, path: Path, around: Surroundings) -> list[Step]:
    """Every mount of a container whose folder on the host is `path`."""
    return mount_plan(
        around,
        extra=[
            *host_devices(spec.devices),
            *volume_steps(spec.volumes, spec.tmpfs),
            *_network_files(spec, path),
        ],
        privileged=spec.privileged,
        read_only=spec.root.read_only,
    )


def _network_files(spec: ContainerSpec, path: Path) -> list[Step]:
    """The files that name the container and its network, over the root's own."""
    taken = {volume.target for volume in spec.volumes}
    names = [name for name in NETWORK_FILES if f"/etc/{name}" not in taken]
    return [Bind(str(path / name), f"/etc/{name}", mapped=True) for name in names]


def describe(steps: list[Step]) -> str:
    """The plan as text, a line a step."""
    return "\n".join(step.describe() for step in steps)
