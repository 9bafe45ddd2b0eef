"""A container runtime of one's own: it makes the namespaces and the root, and embeds init.

    python examples/own_runtime.py ROOT SOCKET COMMAND [ARGUMENT]...

ROOT is a folder with a root file system, SOCKET the path of the control socket, which stays
outside. Needs root. `pyinit-ctl exec SOCKET sh` gets in, as with any other container.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from pyinit import ContainerSpec
from pyinit.init import run
from pyinit.linux.mount import MS_BIND, MS_PRIVATE, MS_REC, mount, pivot_root, umount_detach
from pyinit.linux.namespaces import FLAGS, unshare
from pyinit.linux.process import set_host_name

OWN_NAMESPACES = ("mnt", "uts", "ipc", "net")


def enter(root: str) -> None:
    """Make `root` the root of a new mount namespace, with nothing of the old one left."""
    unshare(sum(FLAGS[name] for name in OWN_NAMESPACES))
    set_host_name("own")
    mount("", "/", "", MS_PRIVATE | MS_REC)
    mount(root, root, "", MS_BIND | MS_REC)
    mount("/dev", f"{root}/dev", "", MS_BIND | MS_REC)
    mount("proc", f"{root}/proc", "proc")
    os.chdir(root)
    pivot_root(".", ".")
    umount_detach(".")
    os.chdir("/")


def become_init(root: str, listener: socket.socket, command: list[str]) -> None:
    code = 125
    try:
        spec = ContainerSpec(name="own", command=tuple(command), grace=2)
        code = run(spec, listener, enter=lambda: enter(root), stdio=(0, 1, 2))
    finally:
        os._exit(code)


def main(root: str, path: str, *command: str) -> int:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        unshare(FLAGS["pid"])
        init = os.fork()  # the first child is PID 1 of the new namespace
        if init == 0:
            become_init(os.path.abspath(root), listener, list(command))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: os.kill(init, number))
    code = os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])
    os.unlink(path)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
