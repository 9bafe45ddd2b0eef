"""An sshd of our own on loopback, with throw-away keys; the machine's service is not touched."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ctl import START, environment

PATIENCE_S = 20.0
SSHD = "/usr/sbin/sshd"
# Where sshd locks its unprivileged half in; Debian's service makes it at its start.
EMPTY_ROOT = Path("/run/sshd")

CONFIG = """
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
SetEnv PATH={folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin PYINIT_RUN_DIR={run_dir}
"""


def _key(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=60
    )


def _install_ctl(folder: Path, run_dir: Path) -> None:
    """A `pyinit-ctl` on the other side's PATH."""
    (folder / "bin").mkdir()
    script = folder / "bin" / "pyinit-ctl"
    path = environment(run_dir)["PYTHONPATH"]
    command = shlex.join([sys.executable, "-c", START])
    script.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(path)} exec {command} "$@"\n')
    script.chmod(0o755)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _until_it_answers(port: int, server: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S):
                return
        except ConnectionRefusedError:
            assert server.poll() is None, "sshd did not start"
            assert time.monotonic() < limit
            time.sleep(0.02)


@contextmanager
def serving(folder: Path, run_dir: Path) -> Iterator[str]:
    """The ssh command that leads to root@127.0.0.1, where `pyinit-ctl` has the run folder."""
    _key(folder / "host_key")
    _key(folder / "user_key")
    _install_ctl(folder, run_dir)
    config = folder / "sshd_config"
    config.write_text(CONFIG.format(folder=folder, run_dir=run_dir))
    made = not EMPTY_ROOT.exists()
    EMPTY_ROOT.mkdir(mode=0o755, exist_ok=True)
    port = _free_port()
    log = (folder / "sshd.log").open("wb")
    server = subprocess.Popen(
        [SSHD, "-D", "-e", "-p", str(port), "-f", str(config)],
        stdin=subprocess.DEVNULL,
        stderr=log,
    )
    try:
        _until_it_answers(port, server)
        yield (
            f"ssh -F none -p {port} -i {folder}/user_key -o IdentitiesOnly=yes -o BatchMode=yes"
            f" -o StrictHostKeyChecking=no -o UserKnownHostsFile={folder}/known -o LogLevel=ERROR"
        )
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
        log.close()
        if made:
            os.rmdir(EMPTY_ROOT)
