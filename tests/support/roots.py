"""Root file systems for containers under test, built once and kept.

They are shared by all tests: mount an overlay over them or take a ``copy``, never write into
them. A recipe that changes gets another folder, so an old one is never taken for it.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support import probe

SERVICES = ("apache2", "postgresql", "procps", "curl")
# What the examples of services run.
APPLICATIONS = (
    *("gunicorn", "python3-flask", "python3-redis", "python3-psycopg2", "redis-server"),
    *("postgresql", "procps", "curl"),
)

MOUNTED_OVER = ("hosts", "hostname", "resolv.conf")

# Nobody reads manuals in there, and a root that is lost is built again.
DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
    "force-unsafe-io",
)


def cache() -> Path:
    """``$PYINIT_TEST_CACHE``, or where caches go: for root a place that other users can read."""
    if given := os.environ.get("PYINIT_TEST_CACHE"):
        return Path(given)
    if probe.is_root():
        return Path("/var/cache/pyinit-tests")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyinit-tests"


@functools.cache
def busybox_root() -> Path:
    """A root with one static program, busybox, and links to it: no libc, no Python, no shell
    but its own. Needs Debian's busybox-static, not root."""
    probe.require_package("busybox-static")
    return built("busybox", "2", make_busybox_root)


@functools.cache
def debian_root() -> Path:
    """A Debian root with Apache and PostgreSQL (a cluster ``main``, not running), procps and
    curl, from the machine's own apt sources. Needs root and Debian's mmdebstrap."""
    probe.require_root()
    probe.require_package("mmdebstrap")
    recipe = repr((SERVICES, DPKG_OPTIONS, sources()))
    return built("debian", recipe, make_debian_root)


@functools.cache
def application_root() -> Path:
    """A Debian root with gunicorn, Flask, Redis and PostgreSQL. As `debian_root` otherwise."""
    probe.require_root()
    probe.require_package("mmdebstrap")
    recipe = repr((APPLICATIONS, DPKG_OPTIONS, sources()))
    return built("applications", recipe, lambda root: make_debian_root(root, APPLICATIONS))


def copy(root: Path, target: Path) -> Path:
    """A copy of ``root`` that a test may change: with links, owners and times as they were."""
    subprocess.run(["cp", "-a", "--reflink=auto", f"{root}/.", str(target)], check=True)
    return target


def built(name: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """The folder made by ``make``, whole: made under another name first, by one process."""
    if elsewhere := os.environ.get(given(name)):
        return Path(elsewhere)
    place = cache()
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    target = place / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if target.exists():
        return target
    with open(place / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            half = place / f"{name}.half-made"
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(mode=0o755)
            make(half)
            half.rename(target)
    return target


def given(name: str) -> str:
    """The variable by which a test kernel is told where a root is that was built outside."""
    return f"PYINIT_ROOT_{name.upper()}"


def make_busybox_root(root: Path) -> None:
    for folder in ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var"):
        (root / folder).mkdir()
    (root / "tmp").chmod(0o1777)
    busybox = root / "bin" / "busybox"
    shutil.copy2("/bin/busybox", busybox)
    listing = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for applet in listing.stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "sbin").symlink_to("bin")
    (root / "etc" / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    )
    (root / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    # What a container mounts its own over; where they are missing it would make them.
    for name in MOUNTED_OVER:
        (root / "etc" / name).touch()


def make_debian_root(root: Path, packages: tuple[str, ...] = SERVICES) -> None:
    command = ["mmdebstrap", "--mode=root", "--variant=apt", "--quiet"]
    command += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    command += [f"--aptopt={option}" for option in apt_options()]
    command += [f"--include={','.join(packages)}", suite(), str(root)]
    done = subprocess.run([*command, *sources()], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"mmdebstrap failed: {done.stderr[-2000:]}")


def suite() -> str:
    """The host's release by name, such as ``bookworm``."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


@functools.cache
def sources() -> tuple[str, ...]:
    """The host's apt sources for its own release, as one-line entries: apt is asked, because
    they may be written in two formats over many files."""
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)"]
    listed = subprocess.run([*command, "Created-By: Packages"], capture_output=True, text=True)
    wanted = {suite(), f"{suite()}-updates", f"{suite()}-security"}
    lines = (line.split() for line in listed.stdout.splitlines())
    return tuple(
        f"deb {site} {release} {component}"
        for site, release, component in sorted(lines)
        if release in wanted
    )


def apt_options() -> list[str]:
    """How the host's apt fetches (proxies, the age of lists), which mmdebstrap doesn't ask."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    prefixes = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries")
    lines = [line.removesuffix(";") for line in dump.stdout.splitlines()]
    return [line for line in lines if line.startswith(prefixes) and not line.endswith('""')]


BUILDERS = {"busybox": busybox_root, "debian": debian_root}
