"""pyinit-ctl as an ordinary user, on a machine where only root can read the interpreter.

Everything that will be used is loaded as root first, and then the ids are given up for good.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import probe
from tests.support.ctl import LIMIT, environment

UID = 61234
# A range of ids for the user, where newuidmap may look it up.
SPARE = 1_200_000_000

PROGRAM = """
import importlib, os, pkgutil, sys
import difflib, importlib.resources, importlib.readers, subprocess
import pyinit.container, pyinit_ctl.verbs, pyinit_ctl.__main__, pyinit_ctl.exec_fast
import pyinit.init.start, pyinit_ctl.cli, pyinit_ctl.exec_local
for package in (pyinit.container, pyinit_ctl.verbs):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
from pyinit.container.seccomp import compile_filter
from pyinit.init.loading import load
from pyinit.linux.prctl import set_dumpable
from pyinit.spec.privileges import Privileges
load()
compile_filter(Privileges())
uid, folder = int(sys.argv.pop(1)), sys.argv.pop(1)
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
set_dumpable(True)  # as after an execve: its own files below /proc are its own
os.environ["PYINIT_RUN_DIR"] = folder
os.chdir("/")
sys.exit(pyinit_ctl.__main__.main())
"""

# Runs what follows where /etc/subuid has a range for the user; nothing of it is seen outside.
WITH_RANGE = """
set -e
mount --make-rprivate /
mkdir -p "$0"; cp /etc/passwd /etc/group "$0"
echo "tester:x:$1:$1::/:/bin/sh" >> "$0/passwd"; echo "tester:x:$1:" >> "$0/group"
echo "tester:$2:65536" > "$0/subuid"; cp "$0/subuid" "$0/subgid"
for file in passwd group; do mount --bind "$0/$file" "/etc/$file"; done
for file in subuid subgid; do [ -e "/etc/$file" ] || : > "/etc/$file"; done
for file in subuid subgid; do mount --bind "$0/$file" "/etc/$file"; done
shift 2
exec "$@"
"""


class User:
    """pyinit-ctl as the user UID, with a run folder of their own."""

    def __init__(self, folder: Path, *, with_range: bool) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.with_range = with_range
        self.run_dir.mkdir(mode=0o700, parents=True)
        os.chown(self.run_dir, UID, UID)

    def words(self, *words: str) -> list[str]:
        command = [sys.executable, "-c", PROGRAM, str(UID), str(self.run_dir), *words]
        if not self.with_range:
            return command
        shell = ["sh", "-c", WITH_RANGE, str(self.folder / "etc"), str(UID), str(SPARE)]
        return ["unshare", "-m", *shell, *command]

    def ctl(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*words),
            env=environment(self.run_dir),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            stdin=subprocess.DEVNULL,
            **options,
        )

    def ok(self, *words: str) -> str:
        done = self.ctl(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def refused(self, *words: str) -> str:
        """The one line that says why not; nothing is left of it."""
        done = self.ctl(*words)
        assert done.returncode == 125, (words, done.stdout, done.stderr)
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr


def _user(base: Path, *, with_range: bool) -> User:
    probe.require_root()
    probe.require_user_namespaces()
    for folder in (base, *base.parents):
        if folder.stat().st_uid == 0 and folder != Path("/") and not folder.stat().st_mode & 1:
            folder.chmod(folder.stat().st_mode | 0o011)  # pytest's own folders are 0700
    return User(base / "user", with_range=with_range)


@pytest.fixture
def user(tmp_path: Path) -> User:
    """An ordinary user with no other ids than their own."""
    return _user(tmp_path, with_range=False)


@pytest.fixture
def ranged_user(tmp_path: Path) -> User:
    """An ordinary user to whom /etc/subuid gives a range."""
    probe.require_package("uidmap")
    return _user(tmp_path, with_range=True)
