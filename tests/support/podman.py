"""podman in the test kernel, and an image for it that has pyinit.

No registry is there, so the image is built from nothing in place of Debian's, and finds this
machine's /usr, the tree and the interpreter on mounts.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support import opt_pyinit
from tests.support.inits import TREE, environment

CONTAINERFILE = TREE / "examples" / "Containerfile"
IMAGE = "localhost/app"
MOUNTED = (Path("/usr"), TREE, Path(sys.prefix), Path(sys.base_prefix))


class Podman:
    """podman without a systemd beside it."""

    WORDS = ("podman", "--cgroup-manager=cgroupfs", "--events-backend=file")

    def __init__(self) -> None:
        # Collecting garbage takes its time here, where every page fault does.
        self.environment = environment(GOGC="off")

    def __call__(self, *words: str) -> str:
        command = [*self.WORDS, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, *options: str) -> list[str]:
        """The words that run the image with what it needs of this machine."""
        binds = [f"--volume={folder}:{folder}:ro" for folder in MOUNTED]
        return ["run", "--network=none", "--pull=never", *binds, *options]


def root_of_an_image(folder: Path) -> Path:
    """What is to be in an image besides the mounts."""
    opt_pyinit.install(folder)
    for name in ("bin", "sbin", "lib", "lib64"):
        (folder / name).symlink_to(f"usr/{name}")
    (folder / "etc").mkdir()
    (folder / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return folder


def with_image(context: Path) -> Podman:
    """podman, and the image made by examples/Containerfile in an empty folder; its RUN, which
    fetches pyinit, is a COPY."""
    root_of_an_image(context)
    text = CONTAINERFILE.read_text()
    text, changed = re.subn(r"^RUN (?:.*\\\n)*.*$", "COPY . /", text, flags=re.MULTILINE)
    assert changed == 1
    (context / "Containerfile").write_text(text)
    # Where podman keeps all it has; the machine's own is read-only, and this kernel ends with
    # the file's tests.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var"], check=True)
    for name in ("cache", "lib", "tmp"):
        Path("/var", name).mkdir()
    found = Podman()
    alone = ["--network=none", "--layers=false", "--from=scratch"]
    found("build", *alone, "--tag", IMAGE, str(context))
    return found
